"""Pooling over windows that lie around source pixels."""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float


def max_pool(
    features: Float[Array, "n h w c"], *, kernel_size: int, stride: int
) -> Float[Array, "n sh sw c"]:
    """Return the maximum of each window; pixels outside the map take no part."""
    padding = _padding(features, kernel_size, stride)
    return nn.max_pool(features, (kernel_size,) * 2, (stride, stride), padding)


def average_pool(
    features: Float[Array, "n h w c"],
    *,
    kernel_size: int,
    stride: int,
    count_include_pad: bool = True,
) -> Float[Array, "n sh sw c"]:
    """Return the mean of each window; pixels outside the map are zeros, or left out."""
    padding = _padding(features, kernel_size, stride)
    return nn.avg_pool(
        features, (kernel_size,) * 2, (stride, stride), padding, count_include_pad
    )


def _padding(features: Float[Array, "n h w c"], kernel_size: int, stride: int) -> Any:
    """Pad so that there are `ceil(size / stride)` windows around source pixels."""
    # Any: flax leaves its pools without types, so that they seem to take strings alone.
    before = (kernel_size - 1) // 2
    lasts = [(size - 1) // stride * stride for size in features.shape[1:3]]
    return [
        (before, max(0, last - before + kernel_size - size))
        for last, size in zip(lasts, features.shape[1:3], strict=True)
    ]
