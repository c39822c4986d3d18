"""Sizes and resizing of photographs and masks, as in mmdetection 3.3."""

import numpy as np
from jaxtyping import Int64

from carafe_jax.tasks.image_size import Size

# All sizes of batches are multiples of this: FPN with CARAFE++ halves maps six times.
SIZE_DIVISOR = 64


def resized_size(
    size: Size, *, short_side: int, long_side: int, largest_scale: float | None = None
) -> Size:
    """Return the size of a photograph after resizing.

    The largest scale is taken at which the short side is at most `short_side` and the
    long side at most `long_side`. Sides are rounded, halves up, to at least 1 pixel.

    Args:
      size: Of the photograph.
      short_side: Limit of the short side, in pixels.
      long_side: Limit of the long side, in pixels.
      largest_scale: Limit of the scale. None: there is none.
    """
    scale = min(long_side / max(size), short_side / min(size))
    if largest_scale is not None:
        scale = min(scale, largest_scale)
    return Size(*(max(1, int(side * scale + 0.5)) for side in size))


def nearest_pixels(side: int, resized: int) -> Int64[np.ndarray, "resized"]:
    """Return the pixel of a mask that each pixel of the resized mask is taken from.

    It equals OpenCV's nearest-neighbour interpolation, along one side.

    Args:
      side: Pixels of the mask.
      resized: Pixels of the resized mask.
    """
    step = 1.0 / (resized / side)
    places = np.floor(np.arange(resized) * step).astype(np.int64)
    return np.minimum(places, side - 1)
