"""Runs of detectors: the paper's on COCO, and small ones."""
