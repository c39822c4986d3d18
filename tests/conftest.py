"""What holds for all tests."""

import os

import jax

# Initialisers compile four times faster with this generator, and compiling takes most
# of the time. No test asks for the numbers of a generator. Commands that tests start
# see it by the environment.
os.environ.setdefault("JAX_DEFAULT_PRNG_IMPL", "rbg")
jax.config.update("jax_default_prng_impl", os.environ["JAX_DEFAULT_PRNG_IMPL"])
