"""Random rotation and blur of training photographs, as in semseg's code.

The code is https://github.com/hszhao/semseg, util/transform.py.
"""

import numpy as np
from jaxtyping import UInt8

from carafe_jax.data import IGNORED_LABEL, IMAGENET_MEAN
from carafe_jax.tasks.opencv import require_opencv
from carafe_jax.tasks.segmentation.data_settings import SegmentationData

_BLUR_SIZE = (5, 5)  # Pixels.
_PURPOSE = "Augmentation of photographs"


def augment(
    rng: np.random.Generator,
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    *,
    data: SegmentationData,
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Rotate and blur an image with its labels, each with probability 1/2.

    Args:
      rng: Generator of the random choices.
      image: RGB.
      labels: Its label map.
      data: Largest angle, and kind of blur; neither by default.

    Raises:
      MissingExtraError: OpenCV is not installed.
    """
    if data.rotation and rng.integers(2):
        angle = rng.uniform(-data.rotation, data.rotation)
        image, labels = rotate(image, labels, angle=angle)
    if data.blur == "gaussian" and rng.integers(2):
        # OpenCV derives the standard deviation, 1.1 pixels, from the size.
        image = require_opencv(_PURPOSE).GaussianBlur(image, _BLUR_SIZE, 0)
    return image, labels


def rotate(
    image: UInt8[np.ndarray, "h w 3"],
    labels: UInt8[np.ndarray, "h w"],
    *,
    angle: float,
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Rotate an image and its label map about the centre, at their size.

    Args:
      image: RGB; its new corners have the mean colour of ImageNet.
      labels: Label map; its new corners are ignored.
      angle: Counter-clockwise, in degrees.
    """
    cv2 = require_opencv(_PURPOSE)
    height, width = labels.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    size = (width, height)
    # The border is constant by default.
    return (
        cv2.warpAffine(image, matrix, size, borderValue=IMAGENET_MEAN),
        cv2.warpAffine(
            labels,
            matrix,
            size,
            flags=cv2.INTER_NEAREST,
            borderValue=IGNORED_LABEL,
        ),
    )
