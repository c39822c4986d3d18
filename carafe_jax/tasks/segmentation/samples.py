"""Sheets of test photographs with their label maps, and the truth beside them."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data import SegmentedImages, UnreadableImageError
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.photographs import read_photograph
from carafe_jax.tasks.tile_sheet import stack_tiles
from carafe_jax.viz import draw_legend, overlay_label_map

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
    palette = np.array(classes.palette, np.uint8)
    for index, labels in predicted.items():
        try:
            photograph, truth = read_photograph(images, index)
        except UnreadableImageError:
            continue
        scale = side / max(truth.shape)
        height, width = (max(1, round(scale * length)) for length in truth.shape)
        maps = [
            _resized(x, (width, height), Image.Resampling.NEAREST)
            for x in (truth, labels[: truth.shape[0], : truth.shape[1]])
        ]
        tile = _resized(photograph, (width, height), Image.Resampling.LANCZOS)
        legend = draw_legend(
            np.concatenate(maps), classes=classes.names, palette=palette, height=height
        )
        drawn = [overlay_label_map(tile, x, palette=palette) for x in maps]
        rows.append([Image.fromarray(x) for x in (tile, *drawn, legend)])
    return stack_tiles(rows, titles=_TITLES, width=1)


def _resized(
    pixels: np.ndarray, size: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))
