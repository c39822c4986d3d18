"""Tests of `carafe_jax.metrics`."""
