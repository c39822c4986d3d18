"""Tests of `carafe_jax.losses`."""
