"""Coarse-to-fine filling of large photographs by a network trained on small crops.

A network fills a pixel well if it is as near to given pixels as those of its training;
deeper in the hole it does no better than its starting fill. So the photograph is halved
until its hole is shallow, and filled. At each larger size the network fills the rim of
the hole, guided by the up-sampled fill deeper inside. From the border of the hole
inwards, the network's fill is blended smoothly into the up-sampled one, so that no seam
is visible.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.levels import Level, doubled, levels_of
from carafe_jax.tasks.inpainting.pixels import to_pixels
from carafe_jax.tasks.inpainting.tiles import Tile, tile_side, tiles_over

ReportProgress = Callable[[int, int], None]
"""Callback that receives the number of filled tiles and of all tiles."""

TILES_AT_ONCE = 8
"""Tiles per batch, while that many are left."""


def fill_photograph(
    photo: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
    *,
    fill: Fill,
    reach: int,
    tile: int,
    longest_side: int | None = None,
    progress: ReportProgress | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Fill the hole of a photograph of any size.

    Args:
      photo: RGB in [0, 255].
      hole: True in the hole; at least one pixel is given.
      fill: Function that fills square images in [-1, 1] with sides of multiples of 64.
      reach: Depth in pixels from the border of a hole that `fill` fills at one size;
        positive.
      tile: Side of the tiles of a large photograph, in pixels, rounded up to a multiple
        of 64; positive.
      longest_side: Longest side to fill at, in pixels; positive. A larger photograph is
        halved until no side is longer, filled, and the fill up-sampled: faster, but
        softer.
      progress: Called before the first tile and after each batch.

    Returns:
      The photograph; only pixels of the hole differ.
    """
    levels = levels_of(photo, hole, reach=reach, longest_side=longest_side)
    side = tile_side(hole.shape, largest=tile)
    tilings = [tiles_over(level.weight > 0, side=side) for level in levels]
    report = _reporter(progress, count=sum(map(len, tilings)))
    level, tiles = levels.pop(), tilings.pop()
    filled = _fill_level(level, tiles, side=side, fill=fill, report=report)
    while levels:
        # Popped to free each level's memory, which is large for a large photograph.
        level, tiles = levels.pop(), tilings.pop()
        hole_of_level = level.hole[..., None]
        np.copyto(level.image, doubled(filled, level.hole.shape), where=hole_of_level)
        filled = _fill_level(level, tiles, side=side, fill=fill, report=report)
    result = photo.copy()
    result[hole] = to_pixels(filled[hole])
    return result


def _fill_level(
    level: Level,
    tiles: list[Tile],
    *,
    side: int,
    fill: Fill,
    report: Callable[[int], None],
) -> Float32[np.ndarray, "h w 3"]:
    """Blend the fill of the network into the image of a level."""
    filled = level.image.copy()
    for some in _batches(tiles):
        outputs = fill(_cut(level, some, side=side))
        for tile, output in zip(some, outputs, strict=True):
            image = level.image[tile.place]
            weights = (tile.weights * level.weight[tile.place])[..., None]
            difference = output[: image.shape[0], : image.shape[1]] - image
            filled[tile.place] += weights * difference
        report(len(some))
    return filled


def _batches(tiles: list[Tile]) -> Iterator[list[Tile]]:
    """Yield full batches, then single tiles: only two batch sizes are compiled."""
    whole = len(tiles) - len(tiles) % TILES_AT_ONCE
    for start in range(0, whole, TILES_AT_ONCE):
        yield tiles[start : start + TILES_AT_ONCE]
    for tile in tiles[whole:]:
        yield [tile]


def _cut(level: Level, tiles: list[Tile], *, side: int) -> InpaintingBatch:
    """Cut tiles from a level; one smaller than `side` is padded by reflection."""
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for tile in tiles:
        image = level.image[tile.place]
        unknown = (level.weight[tile.place] > 0)[..., None]
        pad = [*((0, side - length) for length in unknown.shape[:2]), (0, 0)]
        images.append(np.pad(image, pad, mode="symmetric"))
        masks.append(np.pad(unknown, pad, mode="symmetric"))
    return InpaintingBatch(
        image=np.stack(images), mask=np.stack(masks).astype(np.float32)
    )


def _reporter(progress: ReportProgress | None, *, count: int) -> Callable[[int], None]:
    """Return a function that counts filled tiles and reports them."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, count)

    report(0)
    return report
