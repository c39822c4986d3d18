"""Pooling over windows around source pixels."""

import functools
from collections.abc import Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check

Padding = Sequence[tuple[int, int]]


def max_pool(
    features: Float[Array, "n h w c"], *, kernel_size: int, stride: int
) -> Float[Array, "n sh sw c"]:
    """Return the maximum of each window; pixels outside the map are ignored."""
    # Any: flax's pools are untyped, and checkers infer `str` from the default.
    padding: Any = _padding(kernel_size)
    window = (kernel_size, kernel_size)
    return cast(Array, nn.max_pool(features, window, (stride, stride), padding))


# Paddings may be symbolic, which is no int at run time.
@no_type_check
def average_pool(
    features: Float[Array, "n h w c"],
    *,
    kernel_size: int,
    stride: int,
    padding: Padding | None = None,
    count_include_pad: bool = True,
) -> Float[Array, "n sh sw c"]:
    """Return the mean of each window, with or without zeros outside the map."""
    pads: Any = padding or _padding(kernel_size)
    window, strides = (kernel_size, kernel_size), (stride, stride)
    # Not flax's `avg_pool`: it divides by an integer, an error in strict promotion.
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
    """Return padding for `ceil(size / stride)` windows around source pixels."""
    return [((kernel_size - 1) // 2, kernel_size // 2)] * 2
