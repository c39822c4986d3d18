"""Pasting of instance masks into their image, on the host."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Bool, Float

from carafe_jax.arguments import Number, check, check_between_0_and_1
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops.dtypes import wide_dtype


@no_type_check
def paste_masks(
    masks: Float[Array | np.ndarray, "n m m"],
    boxes: Float[Array | np.ndarray, "n 4"],
    *,
    size: Sequence[int],
    threshold: Number = 0.5,
) -> Bool[np.ndarray, "n h w"]:
    """Return the masks of boxes at the size of their image, interpolated bilinearly.

    As in mmdetection, the centre of column x of the image has the coordinate ::

        (x + 0.5 - x1) / (x2 - x1) * M - 0.5

    in the mask, whose pixels have integer coordinates and are surrounded by zeros; rows
    likewise. The interpolation is separable: `rows @ mask @ columns.T`, with weights
    `max(0, 1 - |coordinate - pixel of the mask|)`, of which two are not zero. It runs
    in NumPy, as JAX would compile a program for each of the many sizes of the images of
    a data set.

    Args:
      masks: Probabilities, M x M for each box.
      boxes: x1, y1, x2, y2 in pixels of the image that is pasted into. The mask of a
        box without area, such as padding, is empty.
      size: Height and width of that image.
      threshold: Smallest probability of a pixel that belongs to the object.

    Returns:
      The mask of each box. Interpolated in float32, or in float64 where an argument has
      it.

    Raises:
      RefusedError: An argument breaks a rule above; the message names it.

    Example:
      >>> import numpy as np
      >>> from carafe_jax.ops import paste_masks
      >>> mask = paste_masks(np.ones((1, 2, 2)), np.array([[1, 0, 3, 2]]), size=(2, 4))
      >>> mask[0].astype(int).tolist()
      [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    masks, boxes = np.asarray(masks), np.asarray(boxes)
    check_between_0_and_1("threshold", threshold)
    check(
        "size",
        size,
        "be two numbers of at least 1",
        holds=len(size) == 2 and min(size) >= 1,
    )
    _check_shapes(masks, boxes)
    dtype = wide_dtype(masks.dtype, boxes.dtype)
    masks, boxes = masks.astype(dtype), boxes.astype(dtype)
    pasted = np.zeros((len(masks), *size), bool)
    for canvas, mask, (x1, y1, x2, y2) in zip(pasted, masks, boxes, strict=True):
        if x2 > x1 and y2 > y1:
            # Pixels without a weight are zero, and are not computed.
            inside_y, y = _coordinates(y1, y2, pixels=size[0], cells=len(mask))
            inside_x, x = _coordinates(x1, x2, pixels=size[1], cells=len(mask))
            rows = _interpolated_rows(np.pad(mask, 1), y)
            columns = _interpolated_rows(np.ascontiguousarray(rows.T), x)
            canvas[inside_y, inside_x] = (columns >= threshold).T
    return pasted


def _coordinates(
    start: np.floating, end: np.floating, *, pixels: int, cells: int
) -> tuple[slice, Float[np.ndarray, "inside"]]:
    """Return the pixels of a side that touch the mask, and their coordinates in it."""
    centres = np.arange(pixels, dtype=start.dtype) + start.dtype.type(0.5)
    coordinates = (centres - start) / (end - start) * cells - start.dtype.type(0.5)
    touching = np.flatnonzero((coordinates > -1) & (coordinates < cells))
    inside = slice(touching[0], touching[-1] + 1) if touching.size else slice(0)
    return inside, coordinates[inside]


def _interpolated_rows(
    mask: Float[np.ndarray, "padded w"], coordinates: Float[np.ndarray, "inside"]
) -> Float[np.ndarray, "inside w"]:
    """Return rows between those of a mask that begins and ends with a row of zeros."""
    # No matrix product: BLAS would start threads, which take longer than the sums.
    cell = np.floor(coordinates)
    weight = (coordinates - cell)[:, None]
    row = cell.astype(int) + 1
    return mask[row] * (1 - weight) + mask[row + 1] * weight


@no_type_check
def _check_shapes(masks: np.ndarray, boxes: np.ndarray) -> None:
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2] or masks.shape[1] == 0:
        raise RefusedError(f"`masks` must have shape (N, M, M), got {masks.shape}.")
    expected = (len(masks), 4)
    if boxes.shape != expected:
        raise RefusedError(
            f"`boxes` must have shape {expected}, one box for each mask, "
            f"got {boxes.shape}."
        )
