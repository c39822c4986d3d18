"""Tests of `carafe_jax.data.sources`."""
