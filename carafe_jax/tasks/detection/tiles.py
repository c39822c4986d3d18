"""Photographs with objects drawn on them, all of one size."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.run_length_codes import RLE
from carafe_jax.tasks.detection.mask_encoding import DecodedMasks
from carafe_jax.viz import draw_detections


@dataclasses.dataclass(frozen=True)
class DrawnObjects:
    """Objects to draw on a photograph."""

    boxes: Float[np.ndarray, "d 4"]
    """x1, y1, x2, y2 in pixels of the photograph."""
    names: Sequence[str]
    """Names of their classes."""
    scores: Float[np.ndarray, "d"] | None = None
    """None: objects of the truth."""
    masks: Sequence[RLE] | None = None
    """Masks over the photograph. None: boxes alone."""


def true_objects(images: AnnotatedImages, index: int) -> DrawnObjects:
    """Return the annotated objects of a photograph, without crowds."""
    truth = images.objects(index)
    kept = np.flatnonzero(~truth.crowd).tolist()
    return DrawnObjects(
        truth.boxes[kept],
        [images.classes[int(label)] for label in truth.classes[kept]],
        masks=None if truth.masks is None else [truth.masks[x] for x in kept],
    )


def draw_tile(
    photograph: UInt8[np.ndarray, "h w 3"],
    objects: DrawnObjects,
    *,
    classes: Sequence[str],
    side: int,
) -> Image.Image:
    """Return a photograph at another size with its objects.

    Args:
      photograph: RGB.
      objects: Objects to draw.
      classes: Names of all classes, which have the same colour in every tile.
      side: Longer side of the result, in pixels.
    """
    opened = Image.fromarray(photograph)
    scale = side / max(opened.size)
    width, height = (max(1, round(scale * length)) for length in opened.size)
    tile = np.asarray(opened.resize((width, height), Image.Resampling.LANCZOS))
    masks = objects.masks
    picture = draw_detections(
        tile,
        scale * objects.boxes,
        labels=objects.names,
        scores=objects.scores,
        masks=None if masks is None else _ResizedMasks(masks, tile.shape[:2]),
        classes=classes,
    )
    return Image.fromarray(picture)


class _ResizedMasks(DecodedMasks):
    """Masks at the size of a drawn photograph."""

    def __init__(self, masks: Sequence[RLE], size: tuple[int, ...]) -> None:
        super().__init__(masks)
        self._size = size

    def __getitem__(self, index: int) -> Bool[np.ndarray, "h w"]:
        height, width = self._size
        mask = Image.fromarray(super().__getitem__(index))
        return np.asarray(mask.resize((width, height), Image.Resampling.NEAREST))
