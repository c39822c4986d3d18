"""Runs of the paper's detectors on COCO."""
