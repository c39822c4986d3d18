"""Photographs, and the same under label maps, all of one size, with a legend."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.viz import draw_legend, overlay_label_map

_LEAST_HEIGHT = 30  # Of a legend, in pixels: one line, beside a wide photograph.


def draw_tiles(
    photograph: UInt8[np.ndarray, "h w 3"],
    label_maps: Sequence[UInt8[np.ndarray, "h w"]],
    *,
    classes: LabelClasses,
    side: int,
) -> list[Image.Image]:
    """Return a photograph, itself under each of its label maps, and their legend.

    Args:
      photograph: RGB.
      label_maps: Indices of classes, at least one map.
      classes: Classes and their colours.
      side: Longer side of a tile, in pixels.
    """
    palette = np.array(classes.palette, np.uint8)
    scale = side / max(photograph.shape[:2])
    height, width = (max(1, round(scale * x)) for x in photograph.shape[:2])
    size = width, height
    maps = [_resized(x, size, Image.Resampling.NEAREST) for x in label_maps]
    tile = _resized(photograph, size, Image.Resampling.LANCZOS)
    legend = draw_legend(
        np.concatenate(maps),
        classes=classes.names,
        palette=palette,
        height=max(height, _LEAST_HEIGHT),
    )
    overlays = [overlay_label_map(tile, x, palette=palette) for x in maps]
    return [Image.fromarray(x) for x in (tile, *overlays, legend)]


def _resized(
    pixels: np.ndarray, size: tuple[int, int], resampling: Image.Resampling
) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize(size, resampling))
