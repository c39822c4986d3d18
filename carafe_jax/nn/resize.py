"""Interpolation of feature maps to a given size."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import checked_features
from carafe_jax.ops import wide_dtype


@no_type_check
def resize_nearest(
    features: Float[Array | np.ndarray, "n h w c"], *, size: Sequence[int]
) -> Float[Array, "n sh sw c"]:
    """Resize a map to a given size by nearest-neighbour interpolation.

    Output row i is source row `floor(i * h / sh)`, columns likewise. Feature pyramids
    need an explicit size: that of a lateral map need not be a multiple of h.

    Args:
      features: Feature map, floating.
      size: Rows and columns of the output, `(sh, sw)`.

    Returns:
      The resized map, in the dtype of `features`.

    Raises:
      RefusedError: The map is not of rank 4 or not floating, or a size is below 1.
    """
    features = checked_features(features)
    for axis, length in zip((1, 2), _checked_size(size), strict=True):
        features = _repeat_or_gather(features, axis, length)
    return features


@no_type_check
def resize_bilinear(
    features: Float[Array | np.ndarray, "n h w c"],
    *,
    size: Sequence[int],
    align_corners: bool = False,
) -> Float[Array, "n sh sw c"]:
    """Resize a map to a given size by bilinear interpolation.

    By default pixel centres are half-integers, and coordinates beyond the outermost
    centres are clamped: `jax.image.resize(..., "bilinear", antialias=False)`. With
    `align_corners`, as in PyTorch, the outermost pixels of both maps have the same
    positions: output row i is at source row `i * (h - 1) / (sh - 1)`, the first one
    where sh is 1. Neither filters before down-sampling.

    Args:
      features: Feature map, floating.
      size: Rows and columns of the output, `(sh, sw)`.
      align_corners: Whether the centres of the corner pixels coincide.

    Returns:
      The resized map, summed in float32 or wider, in the dtype of `features`.

    Raises:
      RefusedError: The map is not of rank 4 or not floating, or a size is below 1.
    """
    features = checked_features(features)
    height, width = _checked_size(size)
    n, rows, columns, c = features.shape
    wide, shape = features.astype(wide_dtype(features.dtype)), (n, height, width, c)
    if align_corners:
        resized: Array = jnp.einsum(
            "ah,nhwc,bw->nabc",
            _aligned_weights(rows, height, wide.dtype),
            wide,
            _aligned_weights(columns, width, wide.dtype),
            precision=jax.lax.Precision.HIGHEST,
        )
    else:
        image: Any = jax.image  # The type of `resize` is unknown.
        resized = image.resize(wide, shape, "bilinear", antialias=False)
    return resized.astype(features.dtype)


# Sizes may be symbolic, which are no ints at run time; below as well.
@no_type_check
def aligned_positions(
    size: int, resized: int, dtype: DTypeLike
) -> tuple[Float[Array, " s"], Float[Array, ""]]:
    """Return evenly spaced positions from the first pixel of an axis to the last.

    The second result is the distance from one position to the next.
    """
    # Arrays, as sizes may be symbolic in a program for maps of any size.
    sizes = jnp.stack([jnp.asarray(x, dtype) - 1 for x in (size, resized)])
    step = sizes[0] / jnp.maximum(sizes[1], 1)
    return jnp.arange(resized, dtype=dtype) * step, step


@no_type_check
def _aligned_weights(
    size: int, resized: int, dtype: DTypeLike
) -> Float[Array, "resized size"]:
    positions, _ = aligned_positions(size, resized, dtype)
    distances = jnp.abs(positions[:, None] - jnp.arange(size, dtype=dtype)[None])
    return jnp.maximum(0, 1 - distances)


@no_type_check
def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    if len(size) != 2 or any(length < 1 for length in size):
        raise RefusedError(f"`size` must be two numbers of at least 1, got {size}.")
    height, width = size
    return height, width


# A length may be symbolic, which is no int at run time.
@no_type_check
def _repeat_or_gather(
    features: Float[Array, "n h w c"], axis: int, length: int
) -> Float[Array, "n sh sw c"]:
    size = features.shape[axis]
    if length % size == 0:
        return jnp.repeat(features, length // size, axis=axis)
    if isinstance(length, int):
        # In NumPy, as the product can exceed int32, the widest int of JAX by default.
        sources = np.arange(length, dtype=np.int64) * size // length
    else:  # A symbolic size, in a program that is exported for maps of any size.
        sources = jnp.arange(length, dtype=np.int32) * size // length
    return jnp.take(features, sources.astype(np.int32), axis=axis, mode="clip")
