"""Detections and feature pyramids of two detectors, side by side."""
