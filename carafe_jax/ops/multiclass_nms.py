"""Non-maximum suppression within each class, and the best boxes of all classes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32

from carafe_jax.arguments import Number, check_count, check_finite
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import Boxes
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.nms import nms


class ClassDetections(NamedTuple):
    """The detections of an image, by descending score; 0 where not valid."""

    boxes: Int32[Array, "max_outputs"]
    """Row of each detection in the boxes that were given."""
    classes: Int32[Array, "max_outputs"]
    scores: Float[Array, "max_outputs"]
    valid: Bool[Array, "max_outputs"]
    complete: Bool[Array, ""]
    """Whether these are certainly the detections of all candidates, not only of the
    best `max_candidates`."""


@no_type_check
def multiclass_nms(
    boxes: Float[Array | np.ndarray, "n k 4"],
    scores: Float[Array | np.ndarray, "n k"],
    *,
    valid: Bool[Array | np.ndarray, "n"],
    score_threshold: Number,
    iou_threshold: Number,
    max_outputs: int,
    max_candidates: int = 2000,
) -> ClassDetections:
    """Return the best detections of an image after suppression within each class.

    Each pair of a row and a class is a candidate if its score exceeds the threshold.
    As in mmdetection, `nms` is applied to all candidates, with the classes as groups::

        row, k = (valid[:, None] & (scores > score_threshold)).nonzero()
        nms(boxes[row, k], scores[row, k], groups=k, ...)

    Only the best `max_candidates` of the candidates are compared. The others cannot
    change which of these are kept, since a candidate never suppresses a better one. But
    if fewer than `max_outputs` are kept, some of the others may be detections with
    lower scores that are missing: `complete` is False.

    Args:
      boxes: Box of each of the K classes in each row: x1, y1, x2, y2 in pixels.
      scores: Of the boxes, without the background's. Their gradient is that of a
        gather; boxes have none.
      valid: Rows that take part.
      score_threshold: Scores at or below it are no candidates.
      iou_threshold: Largest overlap of two detections of a class, in [0, 1].
      max_outputs: Detections that are returned.
      max_candidates: Candidates that are compared with each other.

    Returns:
      The detections, their scores in the dtype of `scores`. Of equal scores, the lower
      row comes first, then the lower class.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import multiclass_nms
      >>> box = jnp.array([0, 0, 9, 9.0])
      >>> found = multiclass_nms(
      ...     jnp.broadcast_to(box, (2, 3, 4)),
      ...     jnp.array([[0.2, 0.9, 0.0], [0.7, 0.8, 0.0]]),
      ...     valid=jnp.ones(2, bool),
      ...     score_threshold=0.05,
      ...     iou_threshold=0.5,
      ...     max_outputs=3,
      ... )
      >>> found.boxes.tolist(), found.classes.tolist(), found.valid.tolist()
      ([0, 1, 0], [1, 0, 0], [True, True, False])
    """
    check_finite("score_threshold", score_threshold)
    check_count("max_candidates", max_candidates)
    boxes, scores = jnp.asarray(boxes), jnp.asarray(scores)
    valid = jnp.asarray(valid)
    _check_shapes(boxes, scores, valid)
    candidates = valid[:, None] & (scores > score_threshold)
    best = _best(scores, candidates, min(max_candidates, scores.size))
    kept = nms(
        Boxes(boxes.reshape(-1, 4)[best], candidates.reshape(-1)[best]),
        scores.reshape(-1)[best],
        iou_threshold=iou_threshold,
        max_outputs=max_outputs,
        groups=best % scores.shape[1],
    )
    pairs = best[kept.indices]
    return ClassDetections(
        boxes=jnp.where(kept.valid, pairs // scores.shape[1], 0),
        classes=jnp.where(kept.valid, pairs % scores.shape[1], 0),
        scores=jnp.where(kept.valid, scores.reshape(-1)[pairs], 0),
        valid=kept.valid,
        complete=(jnp.sum(candidates) <= max_candidates) | kept.valid[-1],
    )


def _best(
    scores: Float[Array, "n k"], candidates: Bool[Array, "n k"], count: int
) -> Int32[Array, "count"]:
    """Return the flat indices of the best candidates, and of others after them."""
    wide = scores.astype(wide_dtype(scores.dtype))
    ranked = jax.lax.stop_gradient(jnp.where(candidates, wide, -np.inf))
    return jax.lax.top_k(ranked.reshape(-1), count)[1]


@no_type_check
def _check_shapes(boxes: Array, scores: Array, valid: Array) -> None:
    if scores.ndim != 2 or 0 in scores.shape:
        raise RefusedError(
            "`scores` must have shape (N, K), with at least one row and one class, "
            f"got {scores.shape}."
        )
    for name, array, expected in (
        ("boxes", boxes, (*scores.shape, 4)),
        ("valid", valid, scores.shape[:1]),
    ):
        if array.shape != expected:
            raise RefusedError(
                f"`{name}` must have shape {expected} beside `scores` of shape "
                f"{scores.shape}, got {array.shape}."
            )
    if valid.dtype != jnp.bool_:
        raise RefusedError(f"`valid` must be Boolean, got {valid.dtype}.")
