"""Interpolation of feature maps to a given size."""

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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
    features: Float[Array | np.ndarray, "n h w c"], *, size: Sequence[int]
) -> Float[Array, "n sh sw c"]:
    """Resize a map to a given size by bilinear interpolation.

    Pixel centres are half-integers (PyTorch's `align_corners=False`), coordinates
    beyond the outermost centres are clamped, and there is no anti-aliasing before
    down-sampling. Equal to `jax.image.resize(..., "bilinear", antialias=False)`.

    Args:
      features: Feature map, floating.
      size: Rows and columns of the output, `(sh, sw)`.

    Returns:
      The resized map, summed in float32 or wider, in the dtype of `features`.

    Raises:
      RefusedError: The map is not of rank 4 or not floating, or a size is below 1.
    """
    features = checked_features(features)
    height, width = _checked_size(size)
    n, _, _, c = features.shape
    wide, shape = features.astype(wide_dtype(features.dtype)), (n, height, width, c)
    resized = cast(Array, jax.image.resize(wide, shape, "bilinear", antialias=False))
    return resized.astype(features.dtype)


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
