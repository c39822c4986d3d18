"""Photographs and their label maps, opened, read and resized."""

import numpy as np
from jaxtyping import UInt8

from carafe_jax.data import (
    SegmentedImages,
    Split,
    decode_image,
    open_segmented_images,
)
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.views import Views


def open_split(
    data: SegmentationData, split: Split, *, classes: tuple[str, ...] | None = None
) -> SegmentedImages:
    """Open one split of the source of a run.

    Args:
      data: Source, and how its labels are read.
      split: Split to open.
      classes: Classes that those of the source are matched to by name. None: its own.

    Raises:
      RefusedError: The source cannot be used (see `open_segmented_images`).
    """
    return open_segmented_images(
        data.source,
        split=split,
        test_split=data.test_split,
        test_fraction=data.test_fraction,
        classes_file=data.classes_file,
        ignored_labels=data.ignored_labels,
        classes=classes,
        image_feature=data.image_feature,
        label_feature=data.label_feature,
    )


def read_photograph(
    images: SegmentedImages, index: int
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"]]:
    """Decode a photograph, upright, as 8-bit RGB; return it with its label map.

    Raises:
      UnreadableImageError: The photograph or its label map is unreadable.
    """
    file, labels = images.open(index)
    with file:
        return decode_image(file), labels


def prepare_photograph(
    pixels: UInt8[np.ndarray, "h w 3"], data: SegmentationData, views: Views
) -> tuple[UInt8[np.ndarray, "_ _ 3"], ...]:
    """Return a photograph of any size as the images of the test batches.

    Args:
      pixels: RGB in [0, 255].
      data: Sizes; the source is not opened.
      views: Views of the photograph.

    Raises:
      RefusedError: The photograph has no pixels.
      MissingExtraError: OpenCV is not installed.
    """
    if not pixels.size:
        raise RefusedError(
            f"`pixels` must have at least one pixel, got the shape {pixels.shape}."
        )
    sizes = views.sizes(Size(*pixels.shape[:2]), data)
    return tuple(resize_photograph(pixels, size) for size in sizes)
