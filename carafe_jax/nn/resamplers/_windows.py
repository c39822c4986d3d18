"""Pooling over windows that lie around source pixels."""

from collections.abc import Sequence
from typing import Any, cast

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
    return cast(Array, nn.avg_pool(features, window, strides, pads, count_include_pad))


def _padding(kernel_size: int) -> Padding:
    """Pad so that there are `ceil(size / stride)` windows around source pixels."""
    return [((kernel_size - 1) // 2, kernel_size // 2)] * 2
