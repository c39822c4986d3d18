"""Tiles of one size over an image, and the weights that blend them.

A network fills large images tile by tile. Neighbours overlap: at its border a tile has
no weight, as the network lacks context there; then its weight rises smoothly, and the
weights of all tiles sum to one at each pixel.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

MINIMUM_TILE_SIDE = 64
"""Side of the smallest tile, in pixels. All sides are multiples of it, so that a
network can halve them."""

# Fractions of a tile's side: the margin without weight at each border, and the ramp
# beside it on which the weight rises.
_MARGIN = _RAMP = 1 / 8


class Interval(NamedTuple):
    """An interval of an axis of an image."""

    place: slice
    weights: Float32[np.ndarray, "n"]
    """Weights of its pixels, in [0, 1]."""


class Tile(NamedTuple):
    """A part of an image that is filled at once."""

    rows: Interval
    columns: Interval

    @property
    def place(self) -> tuple[slice, slice]:
        """Index of its pixels in the image."""
        return self.rows.place, self.columns.place

    @property
    def weights(self) -> Float32[np.ndarray, "rows columns"]:
        """Weights of its pixels, in [0, 1]."""
        return np.outer(self.rows.weights, self.columns.weights)

    def counts_for(self, hole: Bool[np.ndarray, "h w"]) -> bool:
        """Return whether it has a positive weight at a pixel of a hole."""
        # A fast path: almost all tiles of a large photograph are without a hole.
        part = hole[self.place]
        return bool(part.any() and part[self.weights > 0].any())


def tile_side(shape: tuple[int, int], *, largest: int) -> int:
    """Return the side of the tiles of an image, and of its reduced copies.

    One side for all means one compilation. One tile holds a small image.

    Args:
      shape: Height and width of the image.
      largest: Side of the tiles of a large image.
    """
    side = min(largest, max(shape))
    return -(-side // MINIMUM_TILE_SIDE) * MINIMUM_TILE_SIDE


def tiles_over(hole: Bool[np.ndarray, "h w"], *, side: int) -> list[Tile]:
    """Return the tiles that have a positive weight at some pixel of the hole.

    Args:
      hole: True where the image is to be filled.
      side: Side of the tiles; a shorter axis has one tile of its length.
    """
    height, width = hole.shape
    tiles = [
        Tile(rows, columns)
        for rows in _intervals(height, side)
        for columns in _intervals(width, side)
    ]
    return [tile for tile in tiles if tile.counts_for(hole)]


def _intervals(length: int, side: int) -> list[Interval]:
    """Return overlapping intervals over an axis, with their weights."""
    if length <= side:
        return [Interval(slice(0, length), np.ones(length, np.float32))]
    step = int(side * (1 - 2 * _MARGIN - _RAMP))
    count = 1 + -(-(length - side) // step)
    starts = np.linspace(0, length - side, count).astype(int).tolist()
    weights = np.stack([_weights(start, side, length) for start in starts])
    weights /= weights.sum(0)
    places = [slice(start, start + side) for start in starts]
    return [
        Interval(place, row[place]) for place, row in zip(places, weights, strict=True)
    ]


def _weights(start: int, side: int, length: int) -> Float32[np.ndarray, "length"]:
    """Return the weights of an interval before normalisation."""
    place = np.arange(length) + 0.5
    # At the border of the image no context is missing.
    before = place - start if start > 0 else np.inf
    after = start + side - place if start + side < length else np.inf
    inside = (np.minimum(before, after) / side - _MARGIN) / _RAMP
    return smoothstep(inside).astype(np.float32)


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Return 0 below 0, 1 above 1, and 3 x^2 - 2 x^3 between, which is smooth."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
