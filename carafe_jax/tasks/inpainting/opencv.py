"""Import of OpenCV, the package of the extra `opencv`."""

import importlib
import importlib.util
from typing import Any

from carafe_jax.errors import MissingExtraError

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
    try:
        return importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"{purpose} needs OpenCV: {INSTALL_OPENCV}.") from error
