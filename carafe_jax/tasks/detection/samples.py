"""Sheets of test photographs with their detections, and the truth beside them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from carafe_jax.data import UnreadableImageError, decode_image
from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.tasks.detection.results import DetectionResult, ResultsByImage
from carafe_jax.tasks.detection.tiles import (
    DrawnObjects,
    draw_tile,
    true_objects,
)
from carafe_jax.tasks.tile_sheet import stack_tiles

SCORE_THRESHOLD = 0.3
"""Smallest score of a detection in pictures."""


def draw_samples(
    images: AnnotatedImages,
    results: ResultsByImage,
    *,
    score_threshold: float = SCORE_THRESHOLD,
    side: int = 512,
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet with a row for each photograph: detections, and the truth.

    Crowds are not drawn. A photograph that cannot be read any more is left out.

    Args:
      images: Test set.
      results: Detections of each photograph to draw, by its index in the test set.
      score_threshold: Smallest score of a detection that is drawn.
      side: Longer side of a drawn photograph, in pixels.
    """
    rows = [
        [
            draw_tile(photograph, objects, classes=images.classes, side=side)
            for objects in (
                _detected_objects(images, detections, score_threshold),
                true_objects(images, index),
            )
        ]
        for index, detections in results.items()
        if (photograph := _photograph(images, index)) is not None
    ]
    titles = (f"detections, score at least {score_threshold:g}", "truth")
    return stack_tiles(rows, titles=titles)


def _photograph(
    images: AnnotatedImages, index: int
) -> UInt8[np.ndarray, "h w 3"] | None:
    try:
        with images.open(index) as opened:
            return decode_image(opened)
    except UnreadableImageError:
        return None


def _detected_objects(
    images: AnnotatedImages,
    detections: Sequence[DetectionResult],
    score_threshold: float,
) -> DrawnObjects:
    shown = [x for x in detections if x["score"] >= score_threshold]
    boxes = np.array([x["bbox"] for x in shown], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    names = dict(zip(images.category_ids, images.classes, strict=True))
    masks = [x["segmentation"] for x in shown if "segmentation" in x]
    return DrawnObjects(
        boxes,
        [names[x["category_id"]] for x in shown],
        scores=np.array([x["score"] for x in shown]),
        masks=masks if len(masks) == len(shown) else None,
    )
