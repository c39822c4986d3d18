"""Sizes and resizing of photographs and label maps, as in CSAIL's code of early 2019.

The code is https://github.com/CSAILVision/semantic-segmentation-pytorch, by which the
published UperNets were trained.
"""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from carafe_jax.extras import import_extra
from carafe_jax.tasks.image_size import Size


def resized_size(size: Size, *, short_side: int, long_side: int) -> Size:
    """Return the size of a photograph after resizing.

    The largest scale is taken at which the short side is at most `short_side` and the
    long side at most `long_side`. Sides are truncated, to at least 1 pixel.

    Args:
      size: Of the photograph.
      short_side: Limit of the short side, in pixels.
      long_side: Limit of the long side, in pixels.
    """
    scale = min(short_side / min(size), long_side / max(size))
    return scaled_size(size, scale)


def scaled_size(size: Size, scale: float) -> Size:
    """Return a size times a scale, truncated to whole pixels, at least 1."""
    return Size(*(max(1, int(side * scale)) for side in size))


def resize_photograph(
    pixels: UInt8[np.ndarray, "h w 3"], size: Size
) -> UInt8[np.ndarray, "rh rw 3"]:
    """Resize a photograph by bilinear interpolation, without antialiasing.

    Args:
      pixels: RGB, 8 bits.
      size: Of the result.

    Raises:
      MissingExtraError: OpenCV is not installed.
    """
    cv2 = _opencv()
    return cv2.resize(pixels, size.transposed, interpolation=cv2.INTER_LINEAR)


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], size: Size
) -> UInt8[np.ndarray, "rh rw"]:
    """Resize a label map by nearest-neighbour interpolation."""
    cv2 = _opencv()
    return cv2.resize(labels, size.transposed, interpolation=cv2.INTER_NEAREST)


def _opencv() -> Any:
    return import_extra("cv2", extra="opencv", purpose="Resizing of photographs")
