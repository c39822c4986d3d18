"""Non-maximum suppression of a fixed number of boxes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from carafe_jax.arguments import Number, check_count, check_up_to_1
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import Boxes, check_slots, pairwise_iou
from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.sharding import vary_alike
from carafe_jax.ops.suppression import suppress


class Kept(NamedTuple):
    """The boxes that non-maximum suppression keeps, by descending score."""

    indices: Int32[Array, "max_outputs"]
    """Slots of the boxes; 0 where not valid."""
    valid: Bool[Array, "max_outputs"]


@no_type_check
def nms(
    boxes: Boxes,
    scores: Float[Array | np.ndarray, "n"],
    *,
    iou_threshold: Number,
    max_outputs: int,
    groups: Int[Array | np.ndarray, "n"] | None = None,
) -> Kept:
    """Return the boxes that greedy non-maximum suppression keeps, best first.

    A box is kept if it does not overlap too much with a better box that is kept, as in
    mmcv. On lists::

        kept = []
        for box in by_descending_score:
            if all(iou(box, other) <= iou_threshold for other in kept):
                kept.append(box)

    Boxes are compared only within their group. mmcv moves the groups apart instead,
    which rounds the coordinates. Of equal scores, the box with the lower index comes
    first. No gradient flows through the choice.

    For many images or levels, use `jax.vmap`. On a mesh, call it inside
    `jax.shard_map`; otherwise the devices wait for each other at every step of a loop.

    Args:
      boxes: Candidates: x1, y1, x2, y2 in pixels, in N slots.
      scores: Of the boxes; those of slots that are not valid are not read.
      iou_threshold: Largest overlap (intersection over union, in [0, 1]) of two boxes
        that are both kept.
      max_outputs: Slots of the result. If more boxes are kept, the best are returned.
      groups: Class or pyramid level of each box. None: all are in one group.

    Returns:
      Indices of the boxes that are kept. Overlaps are computed in float32, or in
      float64 where the boxes have it.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import Boxes, nms
      >>> coordinates = jnp.array([[0, 0, 9, 9], [0, 0, 9, 8], [5, 5, 9, 9.0]])
      >>> boxes = Boxes(coordinates, valid=jnp.ones(3, bool))
      >>> scores = jnp.array([0.8, 0.9, 0.7])
      >>> nms(boxes, scores, iou_threshold=0.5, max_outputs=2).indices.tolist()
      [1, 2]
    """
    check_up_to_1("iou_threshold", iou_threshold)
    check_count("max_outputs", max_outputs)
    check_slots("boxes", boxes)
    if groups is None:
        groups = np.zeros(np.shape(scores), np.int32)
    coordinates, valid = jnp.asarray(boxes.coordinates), jnp.asarray(boxes.valid)
    scores, groups = jnp.asarray(scores), jnp.asarray(groups)
    _check_shapes(coordinates, scores, groups)
    if 0 in scores.shape:
        return Kept(jnp.zeros(max_outputs, np.int32), jnp.zeros(max_outputs, bool))
    arrays = jax.lax.stop_gradient((coordinates, valid, scores, groups))
    coordinates, valid, scores, groups = vary_alike(arrays)
    order = _best_first(scores, valid)
    suppresses = _suppresses(coordinates[order], groups[order], float(iou_threshold))
    return _first(order, suppress(suppresses, valid[order]), max_outputs)


@no_type_check
def _check_shapes(coordinates: Array, scores: Array, groups: Array) -> None:
    if coordinates.ndim != 2:
        raise RefusedError(
            f"`boxes` must have coordinates of shape (N, 4), got {coordinates.shape}."
        )
    slots = coordinates.shape[:1]
    for name, array in {"scores": scores, "groups": groups}.items():
        if array.shape != slots:
            raise RefusedError(
                f"`{name}` must have shape {slots}, one element for each of the boxes, "
                f"got {array.shape}."
            )
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        raise RefusedError(f"`scores` must be of a floating dtype, got {scores.dtype}.")
    if not jnp.issubdtype(groups.dtype, jnp.integer):
        raise RefusedError(f"`groups` must be of an integer dtype, got {groups.dtype}.")


def _best_first(
    scores: Float[Array, "n"], valid: Bool[Array, "n"]
) -> Int32[Array, "n"]:
    """Return the order of descending scores, with invalid boxes last."""
    ascending = -scores.astype(wide_dtype(scores.dtype))
    return jnp.lexsort((ascending, ~valid)).astype(np.int32)


def _suppresses(
    boxes: Float[Array, "n 4"], groups: Int[Array, "n"], iou_threshold: float
) -> Bool[Array, "n n"]:
    ranks = jnp.arange(boxes.shape[0], dtype=np.int32)
    return (
        (pairwise_iou(boxes, boxes) > iou_threshold)
        & (groups[:, None] == groups[None])
        & (ranks[:, None] < ranks[None])
    )


def _first(order: Int32[Array, "n"], kept: Bool[Array, "n"], max_outputs: int) -> Kept:
    """Return the best of the boxes that are kept, padded to `max_outputs` slots."""
    ranks = jnp.argsort(~kept, stable=True)[:max_outputs]
    valid = kept[ranks]
    missing = (0, max_outputs - ranks.shape[0])
    indices = jnp.where(valid, order[ranks], 0)
    return Kept(jnp.pad(indices, missing), jnp.pad(valid, missing))
