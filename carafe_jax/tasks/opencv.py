"""OpenCV, the package of the extra `opencv`: its import, and resizing by it."""

import importlib.util
from typing import Any

import numpy as np
from jaxtyping import UInt8

from carafe_jax.extras import import_extra
from carafe_jax.tasks.image_size import Size

INSTALL_OPENCV = "pip install 'carafe-jax[opencv]'"


def has_opencv() -> bool:
    """Return whether OpenCV is installed."""
    return importlib.util.find_spec("cv2") is not None


def require_opencv(purpose: str) -> Any:
    """Return the module `cv2`.

    Args:
      purpose: Feature that needs OpenCV, as the subject of the error message.

    Raises:
      MissingExtraError: OpenCV is not installed.
    """
    return import_extra("cv2", extra="opencv", purpose=purpose)


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
    if pixels.shape[:2] == size:
        return pixels
    cv2 = require_opencv("Resizing of photographs")
    return cv2.resize(pixels, size.transposed, interpolation=cv2.INTER_LINEAR)
