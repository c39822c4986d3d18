"""Tests of segmented images."""
