"""Runs of the paper's segmentation networks on ADE20K."""
