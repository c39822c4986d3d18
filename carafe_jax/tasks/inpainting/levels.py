"""Pyramid of a photograph, halved until its hole is shallow."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from carafe_jax.tasks.inpainting.hole_boxes import box_of
from carafe_jax.tasks.inpainting.pixels import from_pixels
from carafe_jax.tasks.inpainting.tiles import smoothstep


class Level(NamedTuple):
    """Level of the pyramid: a photograph at a fraction of its size."""

    image: Float32[np.ndarray, "h w 3"]
    """Means over the given pixels, in [-1, 1]; zero in the hole."""
    hole: Bool[np.ndarray, "h w"]
    """True where no pixel is given."""
    weight: Float32[np.ndarray, "h w"]
    """Weight of the network's fill at this level, in [0, 1]; the rest is the up-sampled
    fill of the next smaller level. Hole pixels of weight 0 count as given."""


def levels_of(
    photo: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    *,
    reach: int,
    longest_side: int | None,
) -> list[Level]:
    """Return a photograph halved until its hole is shallow, as a pyramid.

    Args:
      photo: RGB in [0, 255].
      hole: True in the hole; at least one pixel is given.
      reach: Depth in pixels from the border of a hole that is filled at one level.
      longest_side: Levels with a longer side are not filled. None: all levels are.

    Returns:
      The levels, largest first. The last one is filled completely.
    """
    levels: list[Level] = []
    for image, empty in _halvings(photo, hole):
        depth, largest = _depth(empty), max(empty.shape)
        is_small = longest_side is None or largest <= longest_side
        # A smaller level would hold too little of the photograph to fill from.
        is_last = is_small and (depth.max() <= reach or largest <= 4 * reach)
        if is_last:
            weight = empty.astype(np.float32)
        elif is_small:
            weight = _weights(depth, reach)
        else:
            weight = np.zeros_like(depth)
        levels.append(Level(image, empty, weight))
        if is_last:
            break
    return levels


def doubled(
    x: Float32[np.ndarray, "rows columns c"], shape: tuple[int, ...]
) -> Float32[np.ndarray, "h w c"]:
    """Return an image up-sampled bilinearly by 2, cropped to a height and a width."""
    for axis, length in enumerate(shape):
        x = np.moveaxis(x, axis, 0)
        before, after = np.concatenate([x[:1], x[:-1]]), np.concatenate([x[1:], x[-1:]])
        # Centres of new pixels are a quarter of an old pixel from the old centres.
        pairs = np.stack([(3 * x + before) / 4, (3 * x + after) / 4], axis=1)
        x = pairs.reshape(-1, *x.shape[1:])[:length]
        x = np.moveaxis(x, 0, axis)
    return x


def _halvings(
    photo: UInt8[np.ndarray, "h w 3"], hole: Bool[np.ndarray, "h w"]
) -> Iterator[tuple[Float32[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]]:
    """Yield a photograph and its hole at full size, at half size, ..., endlessly.

    A reduced pixel is the mean of the given ones in its block; without any it is hole.
    """
    count = (~hole)[..., None].astype(np.float32)
    total = count * from_pixels(photo)
    while True:
        yield total / np.maximum(count, 1), count[..., 0] == 0
        count, total = _block_sums(count), _block_sums(total)


def _block_sums(
    x: Float32[np.ndarray, "h w c"],
) -> Float32[np.ndarray, "rows columns c"]:
    """Sum blocks of 2 x 2 pixels; an odd side ends in half a block."""
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        sums = x[::2].copy()
        sums[: len(x) // 2] += x[1::2]
        x = np.moveaxis(sums, 0, axis)
    return x


def _depth(hole: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return the distance to the nearest given pixel; zero at the given ones."""
    depth = np.zeros(hole.shape, np.float32)
    if hole.any():
        # The nearest given pixel of each lies in the hole's bounding box or next to it.
        box = box_of(hole, margin=1)
        # Untyped.
        depth[box] = cast(Any, ndimage).distance_transform_edt(hole[box])
    return depth


def _weights(
    depth: Float32[np.ndarray, "h w"], reach: int
) -> Float32[np.ndarray, "h w"]:
    """Return weights that fall from 1 at the border of a hole to 0 beyond `reach`."""
    weight = smoothstep((reach + 1 - depth) / reach)
    return np.where(depth > 0, weight, 0).astype(np.float32)
