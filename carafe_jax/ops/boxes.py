"""Boxes in a fixed number of slots, and their areas and overlaps.

A box is x1, y1, x2, y2 in pixels; its width is x2 - x1.
"""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.dtypes import wide_dtype

# The smallest union, in square pixels, as in mmdetection: boxes without area have
# IoU 0 with each other.
_SMALLEST_UNION = 1e-6


@no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Boxes:
    """Boxes of one image, or of each image of a batch, in a fixed number of slots."""

    coordinates: Float[Array | np.ndarray, "*b n 4"]
    """Boxes x1, y1, x2, y2 in pixels; padding is zeros, after all boxes."""
    valid: Bool[Array | np.ndarray, "*b n"]
    """True for boxes, False for padding."""


@no_type_check
def box_areas(boxes: Float[Array | np.ndarray, "*b n 4"]) -> Float[Array, "*b n"]:
    """Return the areas of boxes, (x2 - x1) * (y2 - y1).

    Args:
      boxes: Boxes x1, y1, x2, y2 in pixels.

    Returns:
      Areas in square pixels, in float32 or wider.

    Raises:
      RefusedError: The boxes are not floating, or their last axis is not 4.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import box_areas
      >>> print(box_areas(jnp.array([[1.0, 2.0, 4.0, 4.0]])))
      [6.]
    """
    boxes = checked_boxes("boxes", boxes)
    width_and_height = boxes[..., 2:] - boxes[..., :2]
    return width_and_height[..., 0] * width_and_height[..., 1]


@no_type_check
def pairwise_iou(
    boxes: Float[Array | np.ndarray, "*b n 4"],
    others: Float[Array | np.ndarray, "*b m 4"],
) -> Float[Array, "*b n m"]:
    """Return the intersection over union (IoU) of each box with each of the others.

    The union counts as at least 1e-6 square pixels, as in mmdetection's
    `bbox_overlaps`: two boxes without area have IoU 0.

    Args:
      boxes: Boxes x1, y1, x2, y2 in pixels.
      others: Likewise, with the same leading axes.

    Returns:
      IoU in [0, 1], in float32 or wider: bfloat16 is too coarse to order overlaps.

    Raises:
      RefusedError: Boxes are not floating, or their last axis is not 4.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import pairwise_iou
      >>> boxes = jnp.array([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 2.0, 2.0]])
      >>> print(pairwise_iou(boxes[:1], boxes))
      [[1.  0.5]]
    """
    boxes, others = checked_boxes("boxes", boxes), checked_boxes("others", others)
    dtype = wide_dtype(boxes.dtype, others.dtype)
    boxes, others = boxes.astype(dtype), others.astype(dtype)
    areas = box_areas(boxes)[..., :, None], box_areas(others)[..., None, :]
    boxes, others = boxes[..., :, None, :], others[..., None, :, :]
    corner = jnp.maximum(boxes[..., :2], others[..., :2])
    opposite = jnp.minimum(boxes[..., 2:], others[..., 2:])
    sides = jnp.maximum(opposite - corner, 0.0)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas[0] + areas[1] - intersection
    return intersection / jnp.maximum(union, _SMALLEST_UNION)


@no_type_check
def clip_boxes(
    boxes: Float[Array | np.ndarray, "*b n 4"],
    sizes: Sequence[int] | Num[Array | np.ndarray, "*b 2"],
) -> Float[Array, "*b n 4"]:
    """Return boxes clipped to their images: x to [0, width], y to [0, height].

    Args:
      boxes: Boxes x1, y1, x2, y2 in pixels.
      sizes: Height and width of each image, or of all, in pixels.

    Returns:
      The clipped boxes, in float32 or wider.

    Raises:
      RefusedError: The boxes are not floating, their last axis is not 4, or that of
        `sizes` is not 2.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.ops import clip_boxes
      >>> print(clip_boxes(jnp.array([[-3.0, 4.0, 50.0, 90.0]]), (60, 40)))
      [[ 0.  4. 40. 60.]]
    """
    boxes = checked_boxes("boxes", boxes)
    limits = jnp.asarray(sizes).astype(boxes.dtype)
    if not 0 < limits.ndim < boxes.ndim or limits.shape[-1] != 2:
        raise RefusedError(
            "`sizes` must be (height, width), or an array of these by image, got shape "
            f"{limits.shape} for `boxes` of shape {boxes.shape}."
        )
    height, width = limits[..., 0], limits[..., 1]
    limits = jnp.stack([width, height, width, height], axis=-1)
    images, rest = limits.shape[:-1], (1,) * (boxes.ndim - limits.ndim)
    limits = jnp.broadcast_to(limits.reshape(*images, *rest, 4), boxes.shape)
    return jnp.clip(boxes, 0.0, limits)


@no_type_check
def checked_boxes(
    name: str, boxes: Float[Array | np.ndarray, "*b 4"]
) -> Float[Array, "*b 4"]:
    """Return boxes, or deltas of boxes, in the dtype of sums, or refuse them."""
    boxes = jnp.asarray(boxes)
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise RefusedError(
            f"`{name}` must have 4 numbers in the last axis, got shape {boxes.shape}."
        )
    if not jnp.issubdtype(boxes.dtype, jnp.floating):
        raise RefusedError(f"`{name}` must be floating, got dtype {boxes.dtype}.")
    return boxes.astype(wide_dtype(boxes.dtype))


@no_type_check
def check_slots(name: str, boxes: Boxes) -> None:
    """Raise unless boxes are `Boxes` with a Boolean for each of their slots."""
    if not isinstance(boxes, Boxes):
        raise RefusedError(f"`{name}` must be `Boxes`, got {type(boxes).__name__}.")
    coordinates, valid = jnp.asarray(boxes.coordinates), jnp.asarray(boxes.valid)
    checked_boxes(name, coordinates)
    slots = coordinates.shape[:-1]
    if valid.shape != slots or valid.dtype != jnp.bool_:
        raise RefusedError(
            f"`{name}.valid` must be Boolean of shape {slots}, one element for each of "
            f"the boxes, got {valid.dtype} of shape {valid.shape}."
        )
