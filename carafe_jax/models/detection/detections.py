"""Detections: the boxes, classes and scores that a detector returns."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from carafe_jax.models.detection.settings import DetectionSettings
from carafe_jax.ops.box_coder import decode_boxes
from carafe_jax.ops.boxes import Boxes, clip_boxes
from carafe_jax.ops.multiclass_nms import multiclass_nms
from carafe_jax.ops.sharding import run_per_device

BOX_STDS = (0.1, 0.1, 0.2, 0.2)
"""Divisors of the box head's targets (x, y, log width, log height)."""


class BoxPredictions(NamedTuple):
    """Outputs of the box head for the boxes of a batch."""

    logits: Float[Array, "n r k1"]
    """Logits of the k classes and, last, of the background."""
    deltas: Float[Array, "n r k 4"]
    """Refinement of the box for each class."""


class Detections(NamedTuple):
    """Objects of each image, by descending score."""

    boxes: Boxes
    """(n, d) boxes in pixels."""
    classes: Int[Array, "n d"]
    """Indices of the classes; 0 for padding."""
    scores: Float[Array, "n d"]
    """Probabilities of the classes; 0 for padding."""
    complete: Bool[Array, "n"]
    """Whether `DetectionSettings.candidates` sufficed, so that more of them would not
    change the detections."""


def detect(
    outputs: BoxPredictions,
    proposals: Boxes,
    *,
    image_sizes: Float[Array, "n 2"],
    scale_factors: Float[Array, "n 2"] | None = None,
    settings: DetectionSettings,
) -> Detections:
    """Return the detections of a batch.

    Each proposal has a box of each class, decoded and clipped to the image; those above
    the score threshold enter non-maximum suppression within their class, and the best
    `count` of all classes remain (Ren et al. 2015).

    Args:
      outputs: Of the box head.
      proposals: (n, r) boxes in pixels of the images.
      image_sizes: (height, width) of each image without its padding, in pixels.
      scale_factors: Width and height of each image divided by those of its file, by
        which boxes are divided before the suppression. None: boxes stay in pixels of
        the images.
      settings: Thresholds, and the numbers of boxes.
    """
    if scale_factors is None:
        scale_factors = jnp.ones_like(image_sizes)
    one = functools.partial(_detect_in_image, settings=settings)
    return run_per_device(jax.vmap(one), outputs, proposals, image_sizes, scale_factors)


def divide_boxes(
    boxes: Float[Array, "... 4"], scale_factors: Float[Array, "... 2"]
) -> Float[Array, "... 4"]:
    """Return boxes of images as boxes of their files; the shapes broadcast."""
    return boxes / jnp.concatenate([scale_factors, scale_factors], -1)


def _detect_in_image(
    outputs: BoxPredictions,
    proposals: Boxes,
    image_size: Float[Array, "2"],
    scale_factor: Float[Array, "2"],
    *,
    settings: DetectionSettings,
) -> Detections:
    scores = jax.nn.softmax(outputs.logits)[:, :-1]  # The background is the last class.
    anchors = proposals.coordinates.astype(scores.dtype)[:, None]
    decoded = decode_boxes(outputs.deltas, anchors, stds=BOX_STDS)
    boxes = divide_boxes(clip_boxes(decoded, image_size), scale_factor[None, None])
    kept = multiclass_nms(
        boxes,
        scores,
        valid=proposals.valid,
        score_threshold=settings.score_threshold,
        iou_threshold=settings.iou_threshold,
        max_outputs=settings.count,
        max_candidates=settings.candidates,
    )
    chosen = jnp.where(kept.valid[:, None], boxes[kept.boxes, kept.classes], 0)
    return Detections(
        Boxes(chosen, kept.valid),
        kept.classes,
        kept.scores,
        kept.complete,
    )
