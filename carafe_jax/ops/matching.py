"""Matching of boxes, such as anchors, to the targets of an image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32

from carafe_jax.arguments import check, check_up_to_1
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import Boxes, check_slots, pairwise_iou


class Matches(NamedTuple):
    """The target of each box, if any.

    A box that is neither positive nor negative is ignored, or not valid.
    """

    targets: Int32[Array, "*b n"]
    """Index of the matched target; 0 where the box is not positive."""
    positive: Bool[Array, "*b n"]
    """Whether the box is matched."""
    negative: Bool[Array, "*b n"]
    """Whether the box is background."""
    overlaps: Float[Array, "*b n"]
    """IoU with the best target: 0 without targets, -1 where the box is not valid."""


@no_type_check
def match_boxes(
    boxes: Boxes,
    targets: Boxes,
    *,
    positive_iou: float,
    negative_iou: float,
    low_quality_iou: float | None = None,
) -> Matches:
    """Match each box of an image to the target that it overlaps most.

    A box is matched to the target with which it has the largest IoU (to the first of
    equals), if this IoU is at least `positive_iou`. It is negative if the IoU is below
    `negative_iou`, and ignored in between. With `low_quality_iou`, each target is then
    also matched to its best boxes, all those with its largest IoU, if that is at least
    `low_quality_iou`. These matches replace better ones, and those of later targets
    replace those of earlier ones (mmdetection's `MaxIoUAssigner`; Faster R-CNN,
    arXiv:1506.01497, section 3.1.2). With an IoU of -1 for invalid pairs::

        overlaps = iou.max(1)
        taken = (iou == iou.max(0)) & (iou.max(0) >= low_quality_iou)
        last = where(taken, arange(m), -1).max(1)
        positive = (overlaps >= positive_iou) | (last >= 0)
        targets = where(last >= 0, last, iou.argmax(1))

    The IoU of all pairs is stored: 112 MB in float32 for the 279,279 anchors of an
    image of 832 x 1344 pixels and 100 targets. (Programs for CPUs allocate twice that.)
    For more images use `jax.vmap`, or `jax.lax.map`, which stores the IoU of one image
    at a time. No gradient flows into the overlaps.

    Args:
      boxes: Anchors or proposals, rank 2.
      targets: Objects, rank 2; there may be none.
      positive_iou: Smallest IoU of a match, above 0.
      negative_iou: IoU below which a box is negative, at most `positive_iou`.
      low_quality_iou: Smallest IoU at which the best boxes of a target are matched in
        any case. None: there are no such matches.

    Returns:
      Matches of the boxes of one image.

    Raises:
      RefusedError: An array has another rank, or the thresholds break a rule above.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import Boxes, match_boxes
      >>> coordinates = jnp.array([[0.0, 0.0, 4.0, 4.0], [1.0, 0.0, 5.0, 4.0]])
      >>> boxes = Boxes(coordinates, valid=jnp.array([True, True]))
      >>> targets = Boxes(coordinates[:1], valid=jnp.array([True]))
      >>> matches = match_boxes(boxes, targets, positive_iou=0.7, negative_iou=0.3)
      >>> print(matches.overlaps, matches.positive, matches.negative)
      [1.  0.6] [ True False] [False False]
    """
    _check_ranks(boxes, targets)
    check_thresholds(positive_iou, negative_iou, low_quality_iou)
    valid = jnp.asarray(boxes.valid)
    iou = _stored_iou(boxes, targets)
    best = jnp.argmax(iou, axis=1).astype(jnp.int32)
    overlaps = jnp.where(valid, jnp.maximum(jnp.max(iou, axis=1), 0.0), -1.0)
    positive = overlaps >= positive_iou
    if low_quality_iou is not None:
        last = _last_taker(iou, low_quality_iou)
        best = jnp.where(last >= 0, last, best)
        positive |= last >= 0
    negative = (overlaps >= 0) & (overlaps < negative_iou) & ~positive
    return Matches(jnp.where(positive, best, 0), positive, negative, overlaps)


@no_type_check
def prepend_targets(matches: Matches, targets: Boxes) -> Matches:
    """Put targets, each matched to itself, before the matches of boxes.

    The matches are then those of `jnp.concatenate([targets, boxes])`. Heads of a
    two-stage detector are trained on targets besides the proposals, so that positives
    exist from the start.

    Args:
      matches: Of the boxes of one image.
      targets: The targets that they were matched to.

    Returns:
      Matches of targets and boxes; targets have overlap 1.
    """
    valid = jnp.asarray(targets.valid)
    indices = jnp.where(valid, jnp.arange(valid.shape[0], dtype=jnp.int32), 0)
    overlaps = jnp.where(valid, 1.0, -1.0).astype(matches.overlaps.dtype)
    own = Matches(indices, valid, jnp.zeros_like(valid), overlaps)
    return Matches(*map(_concatenated, own, matches))


def _concatenated(first: Array, second: Array) -> Array:
    return jnp.concatenate([first, second])


def _stored_iou(boxes: Boxes, targets: Boxes) -> Float[Array, "n m"]:
    """Return the IoU of each box with each target, at least one column; else -1."""
    coordinates = jax.lax.stop_gradient((boxes.coordinates, targets.coordinates))
    pairs = jnp.asarray(boxes.valid)[:, None] & jnp.asarray(targets.valid)[None, :]
    iou = jnp.where(pairs, pairwise_iou(*coordinates), -1.0)
    if iou.shape[1] == 0:
        iou = jnp.full_like(iou, -1.0, shape=(iou.shape[0], 1))
    # If each use recomputed the numbers, it could round them in another way, and the
    # rule for low-quality matches compares them for equality.
    return jax.lax.optimization_barrier(iou)


def _last_taker(iou: Float[Array, "n m"], least: float) -> Int32[Array, " n"]:
    """Return the last target whose best IoU the box has; -1 where there is none."""
    best_of_target = jnp.max(iou, axis=0, initial=-1.0, keepdims=True)
    taken = (iou == best_of_target) & (best_of_target >= least)
    indices = jnp.arange(iou.shape[1], dtype=jnp.int32)[None, :]
    return jnp.max(jnp.where(taken, indices, -1), axis=1)


@no_type_check
def _check_ranks(boxes: Boxes, targets: Boxes) -> None:
    for name, given in (("boxes", boxes), ("targets", targets)):
        check_slots(name, given)
        shape = jnp.shape(given.coordinates)
        if len(shape) != 2:
            raise RefusedError(
                f"`{name}` must be those of one image, coordinates of shape (n, 4), "
                f"got {shape}. Use `jax.vmap` for more images."
            )


@no_type_check
def check_thresholds(positive: float, negative: float, low: float | None) -> None:
    """Raise unless these can be the thresholds of `match_boxes`."""
    check("positive_iou", positive, "lie in (0, 1]", holds=0 < positive <= 1)
    rule = f"lie between 0 and `positive_iou` = {positive}"
    check("negative_iou", negative, rule, holds=0 <= negative <= positive)
    if low is not None:
        check_up_to_1("low_quality_iou", low)
