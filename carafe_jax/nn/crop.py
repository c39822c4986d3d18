"""Crop a map to the size of another."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check


@no_type_check
def crop(
    features: Float[Array, "n h w c"], *, size: Sequence[int]
) -> Float[Array, "n ch cw c"]:
    """Keep the first rows and columns of a map.

    An up-sampled level of a feature pyramid is larger by one than its lateral where the
    lateral's size is odd: `crop(upsample(top), size=lateral.shape[1:3])`.

    Args:
      features: Map of any dtype.
      size: (height, width) to keep.

    Raises:
      RefusedError: `features` is not of rank 4, or `size` is larger than the map.
    """
    if features.ndim != 4:
        raise RefusedError(
            f"`features` must have rank 4, (N, H, W, C), got shape {features.shape}."
        )
    if len(size) != 2:
        raise RefusedError(f"`size` must be two numbers, got {tuple(size)}.")
    height, width = size
    if not (0 < height <= features.shape[1] and 0 < width <= features.shape[2]):
        raise RefusedError(
            "`size` must be positive and at most the map's "
            f"{tuple(features.shape[1:3])}, got {tuple(size)}."
        )
    return features[:, :height, :width]
