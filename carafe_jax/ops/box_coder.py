"""Boxes as deltas relative to anchors, and back."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.ops.boxes import checked_boxes
from carafe_jax.ops.dtypes import wide_dtype

# The largest change of a side is by the factor 1000 / 16, as in mmdetection.
_MAX_LOG_RATIO = math.log(1000 / 16)


@no_type_check
def encode_boxes(
    boxes: Float[Array | np.ndarray, "*#b 4"],
    anchors: Float[Array | np.ndarray, "*#b 4"],
    *,
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
) -> Float[Array, "*b 4"]:
    """Return the deltas of boxes relative to anchors.

    With centres (x, y) and sides (w, h), the subscript a for the anchor (Eq. 2 of
    Faster R-CNN, arXiv:1506.01497)::

        ((x - x_a) / w_a, (y - y_a) / h_a, log(w / w_a), log(h / h_a)) / stds

    Sides that are not positive, as those of padding, count as 1 pixel: deltas and
    gradients are finite, and padding relative to padding gives zeros.

    Args:
      boxes: Boxes x1, y1, x2, y2 in pixels.
      anchors: Anchors or proposals likewise; their shape broadcasts with that of
        `boxes`.
      stds: Divisors of dx, dy, dw and dh.

    Returns:
      Deltas dx, dy, dw, dh, in float32 or wider.

    Raises:
      RefusedError: Boxes are not floating, the last axis is not 4, or `stds` are not 4
        positive numbers.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import encode_boxes
      >>> box, anchor = [[1.0, 2.0, 5.0, 6.0]], [[0.0, 0.0, 4.0, 4.0]]
      >>> print(encode_boxes(jnp.array(box), jnp.array(anchor)))
      [[0.25 0.5  0.   0.  ]]
    """
    boxes, anchors = checked_boxes("boxes", boxes), checked_boxes("anchors", anchors)
    dtype = wide_dtype(boxes.dtype, anchors.dtype)
    centres, sides = _centres_and_sides(boxes.astype(dtype))
    anchor_centres, anchor_sides = _centres_and_sides(anchors.astype(dtype))
    # On the input: a guard of the result alone would leave NaN in its gradient.
    sides = jnp.where(sides > 0, sides, 1.0)
    anchor_sides = jnp.where(anchor_sides > 0, anchor_sides, 1.0)
    shifts = (centres - anchor_centres) / anchor_sides
    log_ratios = jnp.log(sides / anchor_sides)
    deltas = jnp.concatenate([shifts, log_ratios], axis=-1)
    return deltas / _along_last_axis(stds, deltas)


@no_type_check
def decode_boxes(
    deltas: Float[Array | np.ndarray, "*#b 4"],
    anchors: Float[Array | np.ndarray, "*#b 4"],
    *,
    stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    max_log_ratio: float = _MAX_LOG_RATIO,
) -> Float[Array, "*b 4"]:
    """Return the boxes that deltas encode, the inverse of `encode_boxes`.

    With centres (x, y) and sides (w, h), the subscript a for the anchor, and the deltas
    already multiplied by `stds`::

        x, y = x_a + w_a * dx, y_a + h_a * dy
        w, h = w_a * exp(clip(dw)), h_a * exp(clip(dh))

    Args:
      deltas: Deltas dx, dy, dw, dh.
      anchors: Boxes x1, y1, x2, y2 in pixels; their shape broadcasts with that of
        `deltas`, for instance (n, 1, 4) with (n, classes, 4).
      stds: Factors of dx, dy, dw and dh.
      max_log_ratio: dw and dh are clipped to [-max_log_ratio, max_log_ratio].

    Returns:
      Boxes x1, y1, x2, y2 in pixels, in float32 or wider; they may exceed the image.

    Raises:
      RefusedError: An array is not floating, its last axis is not 4, `stds` are not 4
        positive numbers, or `max_log_ratio` is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import decode_boxes
      >>> deltas, anchor = [[0.25, 0.5, 0.0, 0.0]], [[0.0, 0.0, 4.0, 4.0]]
      >>> print(decode_boxes(jnp.array(deltas), jnp.array(anchor)))
      [[1. 2. 5. 6.]]
    """
    check("max_log_ratio", max_log_ratio, "be positive", holds=bool(max_log_ratio > 0))
    deltas, anchors = checked_boxes("deltas", deltas), checked_boxes("anchors", anchors)
    dtype = wide_dtype(deltas.dtype, anchors.dtype)
    deltas = deltas.astype(dtype)
    deltas = deltas * _along_last_axis(stds, deltas)
    anchor_centres, anchor_sides = _centres_and_sides(anchors.astype(dtype))
    centres = anchor_centres + deltas[..., :2] * anchor_sides
    log_ratios = jnp.clip(deltas[..., 2:], -max_log_ratio, max_log_ratio)
    halves = anchor_sides * jnp.exp(log_ratios) * 0.5
    return jnp.concatenate([centres - halves, centres + halves], axis=-1)


def _centres_and_sides(
    boxes: Float[Array, "*b 4"],
) -> tuple[Float[Array, "*b 2"], Float[Array, "*b 2"]]:
    corner, opposite = boxes[..., :2], boxes[..., 2:]
    return (corner + opposite) * 0.5, opposite - corner


@no_type_check
def _along_last_axis(
    stds: Sequence[float], deltas: Float[Array, "*b 4"]
) -> Float[Array, "*b 4"]:
    stds = tuple(stds)
    holds = len(stds) == 4 and all(std > 0 for std in stds)
    check("stds", stds, "be 4 positive numbers", holds=holds)
    return jnp.broadcast_to(jnp.asarray(stds, deltas.dtype), deltas.shape)
