"""Buckets: groups of images that share batches, and their padded sizes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.image_size import Size


class Bucket(NamedTuple):
    """Images of one padded size and one orientation."""

    size: Size
    """Padded size, in pixels."""
    indices: Int64[np.ndarray, "n"]
    """Images, in ascending order."""


def bucket_sizes(
    *, short_side: int, long_side: int, aspects: Sequence[float] = ()
) -> tuple[Size, ...]:
    """Return the padded sizes of landscape images, the smallest first.

    Args:
      short_side: Limit of the short side of resized photographs, in pixels.
      long_side: Limit of the long side, in pixels. The last size holds all images.
      aspects: Long side over short side of further sizes.
    """
    sides = [min(long_side, int(short_side * aspect + 0.5)) for aspect in aspects]
    sizes = {
        Size(short_side, side).padded_to(SIZE_DIVISOR) for side in (*sides, long_side)
    }
    return tuple(sorted(sizes))


def bucket_size(size: Size, sizes: Iterable[Size]) -> Size:
    """Return the smallest padded size that holds an image, in its orientation.

    Args:
      size: Of the resized photograph.
      sizes: Padded sizes of landscape images, the smallest first.
    """
    wide = size if size.is_landscape else size.transposed
    found = next(each for each in sizes if each.holds(wide))
    return found if size.is_landscape else found.transposed


def make_buckets(images: Iterable[tuple[int, Size, Size]]) -> tuple[Bucket, ...]:
    """Group images; landscape and portrait ones are never mixed.

    Args:
      images: Index, size and padded size of each image.

    Returns:
      Buckets, the smallest first.
    """
    found: dict[tuple[Size, bool], list[int]] = {}
    for index, size, padded in images:
        found.setdefault((padded, size.is_landscape), []).append(index)
    return tuple(
        Bucket(padded, np.array(sorted(indices), np.int64))
        for (padded, _), indices in sorted(found.items())
    )
