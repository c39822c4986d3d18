"""Anchors: boxes of given sides and ratios around each pixel of a feature map."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, DTypeLike, Float, Int

from carafe_jax.arguments import check, check_positive
from carafe_jax.errors import no_type_check
from carafe_jax.ops.dtypes import wide_dtype

_RATIOS = (0.5, 1.0, 2.0)


@no_type_check
def anchor_grid(
    size: Sequence[int],
    *,
    stride: int,
    scale: float = 8.0,
    ratios: Sequence[float] = _RATIOS,
    dtype: DTypeLike = np.float32,
) -> Float[Array, "anchors 4"]:
    """Return the anchors of a feature map, ordered by y, then x, then ratio.

    The anchor of ratio r at row y and column x has its centre at (x * stride,
    y * stride), width scale * stride / sqrt(r) and height scale * stride * sqrt(r), as
    in mmdetection (Faster R-CNN, arXiv:1506.01497, section 3.1).

    Args:
      size: Height and width of the map.
      stride: Image pixels per pixel of the map.
      scale: Side of the square anchor, in strides.
      ratios: Ratios height / width.
      dtype: Of the anchors; raised to float32 if narrower.

    Returns:
      Anchors x1, y1, x2, y2 in image pixels, `h * w * len(ratios)` of them. They may
      exceed the image.

    Raises:
      RefusedError: `stride`, `scale` or a ratio is not positive, or there is no ratio.

    Example:
      >>> from carafe_jax.ops import anchor_grid
      >>> print(anchor_grid((1, 2), stride=4, scale=2.0, ratios=(1.0,)))
      [[-4. -4.  4.  4.]
       [ 0. -4.  8.  4.]]
    """
    check_positive("stride", stride)
    check_positive("scale", scale)
    _check_ratios(ratios)
    (height, width), dtype = size, wide_dtype(dtype)
    x = jnp.broadcast_to(jnp.arange(width)[None, :], (height, width))
    y = jnp.broadcast_to(jnp.arange(height)[:, None], (height, width))
    # Exact: products of integers.
    shifts = (jnp.stack([x, y, x, y], axis=-1) * stride).astype(dtype)
    base = jnp.asarray(_base_anchors(stride, scale, ratios, dtype))
    return (shifts[:, :, None, :] + base[None, None]).reshape(-1, 4)


@no_type_check
def anchor_validity(
    size: Sequence[int],
    *,
    stride: int,
    padded_size: Sequence[int] | Int[Array | np.ndarray, " 2"],
    ratios: Sequence[float] = _RATIOS,
) -> Bool[Array, " anchors"]:
    """Return which anchors of a feature map have their centre in the padded image.

    Those of row y and column x are valid if y < ceil(height / stride) and
    x < ceil(width / stride). If the images of a batch differ in size, a region proposal
    network is not trained on the other anchors.

    Args:
      size: Height and width of the map.
      stride: Image pixels per pixel of the map.
      padded_size: Height and width of the image in pixels, with the padding to a
        multiple that the network needs, without that to the largest image of its
        batch; may be traced.
      ratios: Ratios of the anchors.

    Returns:
      True for valid anchors, in the order of `anchor_grid`.

    Raises:
      RefusedError: `stride` or a ratio is not positive, or there is no ratio.

    Example:
      >>> from carafe_jax.ops import anchor_validity
      >>> print(anchor_validity((1, 3), stride=4, padded_size=(4, 5), ratios=(1.0,)))
      [ True  True False]
    """
    check_positive("stride", stride)
    _check_ratios(ratios)
    height, width = size
    # Unsigned sizes have no negative.
    limits = -(-jnp.asarray(padded_size).astype(jnp.int32) // stride)
    rows = jnp.arange(height, dtype=limits.dtype) < limits[0]
    columns = jnp.arange(width, dtype=limits.dtype) < limits[1]
    inside = rows[:, None] & columns[None, :]
    return jnp.repeat(inside.reshape(-1), len(ratios))


def _check_ratios(ratios: Sequence[float]) -> None:
    holds = len(ratios) > 0 and all(ratio > 0 for ratio in ratios)
    check("ratios", ratios, "be positive numbers", holds=holds)


def _base_anchors(
    stride: int, scale: float, ratios: Sequence[float], dtype: np.dtype
) -> np.ndarray:
    """Return the anchors around the origin, rounded as those of mmdetection are.

    Anchors of ratios 0.5 and 2 have irrational sides: the last bit can decide which of
    two anchors has the larger overlap with a target.
    """
    roots = np.sqrt(np.asarray(ratios, dtype))
    one, half = np.ones((), dtype), np.asarray(0.5, dtype)
    widths = np.asarray(stride, dtype) * (one / roots) * np.asarray(scale, dtype)
    heights = np.asarray(stride, dtype) * roots * np.asarray(scale, dtype)
    return np.stack([-widths, -heights, widths, heights], axis=-1) * half
