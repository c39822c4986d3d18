"""Normalizers over the rows of a band: the taps of a kernel, and entries outside."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from carafe_pallas.call import Normalizer


def normalize(logits: Array, inside: Array, normalizer: Normalizer) -> Array:
    """Normalise each row over what is inside, in float32."""
    values = exponentials(logits, inside, normalizer)
    if normalizer == "sigmoid":
        return values
    return values * (1 / jnp.sum(values, axis=1, keepdims=True))


def exponentials(logits: Array, inside: Array, normalizer: Normalizer | None) -> Array:
    """Return what a normalizer divides by the total of each row; sigmoids as such."""
    logits = logits.astype(jnp.float32)
    if normalizer == "sigmoid":
        return jnp.where(inside, sigmoid(logits), 0)
    if normalizer == "normalized_sigmoid":
        logits = jnp.minimum(logits, 0) - jnp.log1p(_exp(-jnp.abs(logits)))
    # Entries outside would be zeros, perhaps the highest of their row.
    logits = jnp.where(inside, logits, -jnp.inf)
    return jnp.where(inside, _exp(logits - _highest(logits)), 0)


def _highest(logits: Array) -> Array:
    """Return the largest of each row.

    As integers, of which a warp finds the largest in one instruction: the bits of a
    float lie in the order of the numbers, but for the negative ones, which are flipped.
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
    # A fifth of the instructions of `jnp.exp`, which lowers to a call of libdevice.
    return jnp.exp2(x * math.log2(math.e))
