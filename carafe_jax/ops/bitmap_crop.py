"""Crops of instance masks, as targets of a mask head."""

from typing import NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Integer, UInt8

from carafe_jax.arguments import check_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.boxes import checked_boxes, clip_boxes
from carafe_jax.ops.roi_align.samples import axis_of, weights_of_cells

_BLOCK = 8
"""Bitmaps that are converted at once."""


class _Crop(NamedTuple):
    box: Float[Array, "4"]
    target: Integer[Array, ""]


@no_type_check
def crop_bitmaps(
    bitmaps: UInt8[Array | np.ndarray, "g h w"],
    boxes: Float[Array | np.ndarray, "r 4"],
    *,
    targets: Integer[Array | np.ndarray, "r"],
    output_size: int = 28,
) -> Float[Array, "r o o"]:
    """Crop a bitmap by each box and resize it, by RoIAlign at a scale of 1.

    Equal to `roi_align` of the map `bitmaps[targets[i]]` for box i, clipped to the
    bitmap. The targets of Mask R-CNN are the crops >= 0.5. As in mmdetection, the
    division by the number of samples comes last: where samples coincide with pixels, a
    bin that is half covered is exactly 0.5.

    It computes two matrix products for each box, `rows @ bitmap @ columns.T / samples`.
    Each bin has a weight for every row and every column of the bitmap.

    Args:
      bitmaps: Masks of objects, 1 inside and 0 outside, as large as the image.
      boxes: Boxes x1, y1, x2, y2 in pixels.
      targets: Index of the bitmap that each box crops; clipped to those that exist.
      output_size: Side of the crops.

    Returns:
      Coverage of each bin, in [0, 1], in float32 or wider; 0 for boxes without area.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    >>> import jax.numpy as jnp
    >>> from carafe_jax import ops
    >>> bitmaps = jnp.zeros((1, 4, 4), jnp.uint8).at[0, :2].set(1)
    >>> boxes, targets = jnp.array([[0.0, 0.0, 4.0, 4.0]]), jnp.array([0])
    >>> crops = ops.crop_bitmaps(bitmaps, boxes, targets=targets, output_size=2)
    >>> print(crops)
    [[[1. 1.]
      [0. 0.]]]
    """
    bitmaps, targets = jnp.asarray(bitmaps), jnp.asarray(targets)
    boxes = checked_boxes("boxes", boxes)
    if bitmaps.ndim != 3 or bitmaps.dtype != np.uint8 or 0 in bitmaps.shape:
        raise RefusedError(
            "`bitmaps` must be uint8 of shape (g, h, w), with at least one pixel, got "
            f"{bitmaps.dtype} of shape {bitmaps.shape}."
        )
    if boxes.ndim != 2 or targets.shape != boxes.shape[:1]:
        raise RefusedError(
            "`targets` must be (r,) for `boxes` (r, 4), got shapes "
            f"{targets.shape} and {boxes.shape}."
        )
    if not jnp.issubdtype(targets.dtype, jnp.integer):
        raise RefusedError(f"`targets` must be integers, got dtype {targets.dtype}.")
    check_count("output_size", output_size)
    crops = _Crop(clip_boxes(lax.stop_gradient(boxes), bitmaps.shape[1:]), targets)
    if not boxes.shape[0]:
        return jnp.zeros((0, output_size, output_size), boxes.dtype)

    def crop(one: _Crop) -> Float[Array, "o o"]:
        bitmap = jnp.take(bitmaps, one.target, axis=0, mode="clip")
        return _crop_bitmap(bitmap, one.box, output_size)

    return cast(Array, lax.map(crop, crops, batch_size=min(_BLOCK, boxes.shape[0])))


def _crop_bitmap(
    bitmap: UInt8[Array, "h w"], box: Float[Array, "4"], output_size: int
) -> Float[Array, "o o"]:
    rows, row_samples = _weights_along(0, bitmap.shape[0], box, output_size)
    columns, column_samples = _weights_along(1, bitmap.shape[1], box, output_size)
    # Weights have more bits than bfloat16 or TensorFloat-32 keep.
    total = jnp.einsum(
        "iy,yx,jx->ij",
        rows,
        bitmap.astype(box.dtype),
        columns,
        precision=lax.Precision.HIGHEST,
    )
    samples = (row_samples * column_samples).astype(box.dtype)
    # 18 / 36 must be 0.5. XLA would multiply by the reciprocal of a divisor that is
    # broadcast.
    return total / jnp.where(total > 0, samples, 1.0)


def _weights_along(
    axis: int, length: int, box: Float[Array, "4"], output_size: int
) -> tuple[Float[Array, "o length"], Int[Array, ""]]:
    """Return the weights of rows or columns, and the number of samples of a bin."""
    bins = axis_of(
        box[1 - axis],
        box[3 - axis],
        scale=jnp.ones((), box.dtype),
        length=jnp.asarray(length, np.int32),
        bins=output_size,
    )
    cells = jnp.arange(length, dtype=np.int32)
    return weights_of_cells(bins, cells, bins=output_size), bins.samples
