"""Tests of `carafe_jax.tasks.classification`."""
