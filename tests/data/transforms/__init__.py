"""Tests of `carafe_jax.data.transforms`."""
