"""Runs of segmentation networks: the paper's on ADE20K, and small ones."""
