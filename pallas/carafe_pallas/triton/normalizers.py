"""Normalizers over the rows of a band, of which the entries `inside` are taps."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from carafe_pallas.call import Normalizer


def normalize(logits: Array, inside: Array, normalizer: Normalizer) -> Array:
    """Normalise each row over its taps, in float32."""
    values = exponentials(logits, inside, normalizer)
    if normalizer == "sigmoid":
        return values
    return values * (1 / jnp.sum(values, axis=1, keepdims=True))


def exponentials(logits: Array, inside: Array, normalizer: Normalizer | None) -> Array:
    """Return what a normalizer divides by the total of each row, or the sigmoids."""
    logits = logits.astype(jnp.float32)
    if normalizer == "sigmoid":
        return jnp.where(inside, sigmoid(logits), 0)
    if normalizer == "normalized_sigmoid":
        logits = jnp.minimum(logits, 0) - jnp.log1p(_exp(-jnp.abs(logits)))
    # Entries that are no taps are loaded as zeros, which could be the row's maximum.
    logits = jnp.where(inside, logits, -jnp.inf)
    return jnp.where(inside, _exp(logits - _highest(logits)), 0)


def _highest(logits: Array) -> Array:
    """Return the maximum of each row.

    Floats are compared as integers, whose maximum a warp reduces in one instruction.
    The bits have the order of the numbers once those of negative numbers are flipped.
    """
    bits = _flipped(lax.bitcast_convert_type(logits, jnp.int32))
    highest = jnp.max(bits, axis=1, keepdims=True)
    return lax.bitcast_convert_type(_flipped(highest), jnp.float32)


def _flipped(bits: Array) -> Array:
    return bits ^ (lax.shift_right_arithmetic(bits, 31) & 0x7FFFFFFF)


def sigmoid(logits: Array) -> Array:
    """Return the sigmoid; 0, not NaN, where the exponential overflows."""
    return 1 / (1 + _exp(-logits))


def _exp(x: Array) -> Array:
    # A fifth of the instructions of `jnp.exp`, which calls libdevice.
    return jnp.exp2(x * math.log2(math.e))
