"""Sheets of test photographs with their label maps, and the truth beside them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data import SegmentedImages, UnreadableImageError
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.photographs import read_photograph
from carafe_jax.tasks.segmentation.tiles import draw_tiles
from carafe_jax.tasks.tile_sheet import stack_tiles

_TITLES = ("photograph", "truth", "label map", "classes")


def draw_samples(
    images: SegmentedImages,
    predicted: Mapping[int, UInt8[np.ndarray, "_ _"]],
    classes: LabelClasses,
    *,
    side: int = 400,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet with a row for each photograph: truth, label map and legend.

    A photograph that cannot be read any more is left out.

    Args:
      images: Test set.
      predicted: Label maps by the index of the photograph in the test set, with rows
        and columns beyond the photograph.
      classes: Classes and their colours.
      side: Longer side of a drawn photograph, in pixels.
    """
    rows: list[list[Image.Image]] = []
    for index, labels in predicted.items():
        try:
            photograph, truth = read_photograph(images, index)
        except UnreadableImageError:
            continue
        maps = (truth, labels[: truth.shape[0], : truth.shape[1]])
        rows.append(draw_tiles(photograph, maps, classes=classes, side=side))
    return stack_tiles(rows, titles=_TITLES)
