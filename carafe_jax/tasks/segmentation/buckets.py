"""Buckets: groups of images of similar aspect ratio, which share batches.

The images of a bucket are padded to one size at each short side. More buckets need less
padding and more compilations: one for each bucket and short side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from carafe_jax.data import SegmentedImages
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.data_settings import SIZE_DIVISOR, SegmentationData

_ASPECT_STEP = 0.01  # Of the logarithm: images within 1 % are never separated.


class Bucket(NamedTuple):
    """Images of similar aspect ratio."""

    sizes: tuple[Size, ...]
    """Padded size at each short side, in pixels."""
    indices: Int64[np.ndarray, "n"]
    """Images, in ascending order."""


def group_by_aspect(
    images: SegmentedImages, data: SegmentationData
) -> tuple[tuple[Bucket, ...], float]:
    """Return the buckets of training photographs, and their fraction of padding."""
    sizes = [
        data.training_sizes(Size(*images.size(index))) for index in range(len(images))
    ]
    resized = np.array(sizes, np.int64)
    buckets = make_buckets(
        resized, count=data.buckets, divisor=SIZE_DIVISOR, batch_size=data.batch_size
    )
    return buckets, padding_fraction(buckets, resized)


def make_buckets(
    resized: Int64[np.ndarray, "n s 2"],
    *,
    count: int,
    divisor: int,
    batch_size: int,
) -> tuple[Bucket, ...]:
    """Group images by aspect ratio such that an epoch computes the fewest pixels.

    These are all pixels of its batches: padding, and images that fill the last batch of
    a bucket, are included.

    Args:
      resized: Height and width of each image at each of s short sides.
      count: Number of buckets, at most; images of few aspect ratios need fewer.
      divisor: Number whose multiples are the padded sides.
      batch_size: Images of a batch, over all processes.

    Returns:
      Buckets from the narrowest to the widest images.
    """
    heights, widths = resized[:, -1].T
    aspects = np.rint(np.log(widths / heights) / _ASPECT_STEP)
    groups, group_of = np.unique(aspects, return_inverse=True)
    largest = np.zeros((len(groups), *resized.shape[1:]), np.int64)
    np.maximum.at(largest, group_of, resized)
    costs = _costs(
        largest, np.bincount(group_of), divisor=divisor, batch_size=batch_size
    )
    starts = _partition(costs, count=count)
    bucket_of = np.searchsorted(starts, group_of, side="right") - 1
    buckets: list[Bucket] = []
    for bucket in range(len(starts)):
        members = np.flatnonzero(bucket_of == bucket)
        sides = resized[members].max(0)
        buckets.append(
            Bucket(
                tuple(Size(*side).padded_to(divisor) for side in sides.tolist()),
                members,
            )
        )
    return tuple(buckets)


def padding_fraction(
    buckets: Sequence[Bucket], resized: Int64[np.ndarray, "n s 2"]
) -> float:
    """Return the fraction of padding among the pixels of an epoch's images.

    Every short side is drawn equally often. Images that fill incomplete batches are not
    counted.

    Args:
      buckets: All buckets.
      resized: Sizes of the images, as in `make_buckets`.
    """
    padded = sum(
        len(bucket.indices) * sum(size.height * size.width for size in bucket.sizes)
        for bucket in buckets
    )
    return 1 - int(resized.prod(-1).sum()) / padded


def _costs(
    largest: Int64[np.ndarray, "g s 2"],
    counts: Int64[np.ndarray, "g"],
    *,
    divisor: int,
    batch_size: int,
) -> Float64[np.ndarray, "g g"]:
    """Return the pixels in the batches of a bucket of the groups from i to j.

    Args:
      largest: Largest height and width in each group, at each short side.
      counts: Images of each group.
      divisor: Number whose multiples are the padded sides.
      batch_size: Images of a batch.
    """
    costs = np.full((len(counts), len(counts)), np.inf)
    for first in range(len(counts)):
        sides = np.maximum.accumulate(largest[first:], axis=0)
        padded = (-(-sides // divisor) * divisor).prod(-1).sum(-1)
        batches = -(-np.cumsum(counts[first:]) // batch_size)
        costs[first, first:] = padded * (batches * batch_size)
    return costs


def _partition(costs: Float64[np.ndarray, "g g"], *, count: int) -> list[int]:
    """Return the first group of each of at most `count` runs of least total cost.

    Dynamic programming over the number of runs, and the last group that they hold.
    """
    groups = len(costs)
    totals = [costs[0]]  # Least cost of the groups 0 to j in k runs.
    starts_of_last: list[np.ndarray] = []
    for _ in range(1, min(count, groups)):
        # [i, j]: the last run begins at i + 1.
        with_one_more = totals[-1][:-1, None] + costs[1:]
        starts_of_last.append(with_one_more.argmin(0) + 1)
        totals.append(with_one_more.min(0))
    starts, last = [0], groups - 1
    best = int(np.argmin([each[-1] for each in totals]))
    for of_last in reversed(starts_of_last[:best]):
        starts.insert(1, int(of_last[last]))
        last = starts[1] - 1
    return starts
