"""Pooling over windows that lie around source pixels."""

import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Padding = Sequence[tuple[int, int]]


def max_pool(
    features: Float[Array, "n h w c"], *, kernel_size: int, stride: int
) -> Float[Array, "n sh sw c"]:
    """Return the maximum of each window; pixels outside the map take no part."""
    # Any: flax leaves its pools without types, so that they seem to take strings alone.
    padding: Any = _padding(kernel_size)
    window = (kernel_size, kernel_size)
    return cast(Array, nn.max_pool(features, window, (stride, stride), padding))


def average_pool(
    features: Float[Array, "n h w c"],
    *,
    kernel_size: int,
    stride: int,
    padding: Padding | None = None,
    count_include_pad: bool = True,
) -> Float[Array, "n sh sw c"]:
    """Return the mean of each window; pixels outside the map are zeros, or left out."""
    pads: Any = padding or _padding(kernel_size)
    window, strides = (kernel_size, kernel_size), (stride, stride)
    # Not flax's `avg_pool`: it divides by an integer, which strict promotion refuses.
    pool = functools.partial(
        nn.pool,
        init=0.0,
        reduce_fn=jax.lax.add,
        window_shape=window,
        strides=strides,
        padding=pads,
    )
    sums = cast(Array, pool(features))
    if count_include_pad:
        return sums / float(kernel_size**2)
    ones = jnp.ones((1, *features.shape[1:3], 1), features.dtype)
    return sums / cast(Array, pool(ones))


def _padding(kernel_size: int) -> Padding:
    """Pad so that there are `ceil(size / stride)` windows around source pixels."""
    return [((kernel_size - 1) // 2, kernel_size // 2)] * 2
