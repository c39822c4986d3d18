"""Photographs: read, resized and padded as mmdetection does."""

import numpy as np
from jaxtyping import UInt8

from carafe_jax.data import AnnotatedImages, UnreadableImageError, decode_image
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection.data_batches import DetectionTestBatch
from carafe_jax.tasks.detection.data_settings import DetectionData
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph
from carafe_jax.tasks.padded_images import padded_image as padded_image


def read_photograph(images: AnnotatedImages, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """Decode a photograph, upright, as 8-bit RGB.

    Raises:
      UnreadableImageError: The photograph is unreadable, or does not have the size of
        its annotations.
    """
    with images.open(index) as file:
        pixels = decode_image(file)
    if pixels.shape[:2] != (size := images.size(index)):
        (height, width), (h, w) = size, pixels.shape[:2]
        raise UnreadableImageError(
            f"{w} x {h} pixels, but {width} x {height} in the annotations",
            images.name(index),
        )
    return pixels


def prepare_photograph(
    pixels: UInt8[np.ndarray, "h w 3"],
    data: DetectionData,
    *,
    divisor: int = SIZE_DIVISOR,
) -> DetectionTestBatch:
    """Return a photograph of any size as an example of the test batches.

    Args:
      pixels: RGB in [0, 255].
      data: Sizes; the source is not opened.
      divisor: As in `DetectionData.test_size`.

    Returns:
      An example whose `index` is 0.

    Raises:
      RefusedError: The photograph has no pixels.
      MissingExtraError: OpenCV is not installed.
    """
    if not pixels.size:
        raise RefusedError(
            f"`pixels` must have at least one pixel, got the shape {pixels.shape}."
        )
    size = Size(*pixels.shape[:2])
    resized = data.resized(size)
    scale = resized.width / size.width, resized.height / size.height
    padded = data.test_size(resized, divisor=divisor)
    image = padded_image(resize_photograph(pixels, resized), padded)
    return DetectionTestBatch(
        image=image,
        image_size=np.array(resized, np.int32),
        scale_factor=np.array(scale, np.float32),
        index=np.array(0, np.int32),
        valid=np.array(True),
    )
