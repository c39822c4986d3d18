"""Sizes and resizing of photographs and label maps, as in CSAIL's code of early 2019.

The code is https://github.com/CSAILVision/semantic-segmentation-pytorch, by which the
published UperNets were trained.
"""

import numpy as np
from jaxtyping import UInt8

from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import require_opencv


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


def resize_labels(
    labels: UInt8[np.ndarray, "h w"], size: Size
) -> UInt8[np.ndarray, "rh rw"]:
    """Resize a label map by nearest-neighbour interpolation."""
    cv2 = require_opencv("Resizing of label maps")
    return cv2.resize(labels, size.transposed, interpolation=cv2.INTER_NEAREST)
