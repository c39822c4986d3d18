"""Tests of `carafe_jax.tasks.segmentation`."""
