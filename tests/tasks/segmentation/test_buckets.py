"""Groups of photographs of similar aspect."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.buckets import (
    group_by_aspect,
    make_buckets,
    padding_fraction,
)
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from tests.tasks.segmentation.memory_source import MemorySource

drawn = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def sizes_of_ade20k(count=1500) -> np.ndarray:
    """Return sizes in the style of ADE20K: 4:3, 3:2, squares and others."""
    rng = np.random.default_rng(0)
    common = rng.choice(
        [683 / 512, 1.5, 1.0, 1.25, 0], count, p=[0.42, 0.2, 0.15, 0.08, 0.15]
    )
    aspects = np.where(common > 0, common, np.exp(rng.uniform(0, 1, count)))
    sides = rng.choice([256, 512, 768, 1024], count)
    sizes = np.stack([sides, np.rint(sides * aspects).astype(int)], -1)
    portrait = rng.random(count) < 0.12
    sizes[portrait] = sizes[portrait, ::-1]
    return sizes


def group(sizes, **fields):
    data = SegmentationData(source="memory", **fields)
    images = MemorySource(tuple(map(tuple, np.asarray(sizes).tolist())))
    return group_by_aspect(images, data)


def test_eight_buckets_need_less_padding_than_pairs_of_images():
    sizes = sizes_of_ade20k()
    buckets, padding = group(sizes)
    assert len(buckets) == 8
    # Pairs of images, as in the original code, have 12 % of padding.
    assert padding < 0.12
    _, of_four = group(sizes, buckets=4)
    _, of_twelve = group(sizes, buckets=12)
    # Rounding the sides of each photograph to 32 costs 5 % of itself.
    assert 0.05 < of_twelve < padding < of_four < 0.2
    members = np.concatenate([bucket.indices for bucket in buckets])
    assert sorted(members) == list(range(len(sizes)))


def test_equal_aspects_need_one_bucket():
    buckets, padding = group([(360, 480), (720, 960), (361, 480)] * 9)
    (bucket,) = buckets
    assert bucket.sizes == (
        *((320, 416), (384, 512), (480, 608), (544, 704), (608, 800)),
    )
    assert padding == pytest.approx(0.045, abs=0.001)


def test_few_images_share_batches_rather_than_save_padding():
    sizes = [(300, 300), (300, 450), (450, 300)]
    assert len(group(sizes * 16, batch_size=16)[0]) == 3
    buckets, _ = group(sizes, batch_size=16)
    assert len(buckets) == 1
    assert buckets[0].sizes[0] == (480, 480)


def test_long_sides_are_limited():
    buckets, _ = group([(10, 4000)] * 4, buckets=1)
    assert [size.width for size in buckets[0].sizes] == [1216] * 5


sides = st.integers(1, 900)


@drawn
@given(
    st.lists(st.tuples(sides, sides), min_size=1, max_size=7),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_buckets_hold_their_images_and_no_other_buckets_cost_less(
    sizes, count, batch_size
):
    data = SegmentationData(
        source="memory", short_sides=(32, 70), test_short_side=70, long_side=200
    )
    resized = np.array([data.training_sizes(Size(*size)) for size in sizes], np.int64)
    buckets = make_buckets(resized, count=count, divisor=8, batch_size=batch_size)
    assert len(buckets) <= count
    assert sorted(np.concatenate([b.indices for b in buckets])) == [*range(len(sizes))]
    for bucket in buckets:
        for i, place in itertools.product(bucket.indices, range(2)):
            assert bucket.sizes[place].holds(Size(*resized[i, place].tolist()))
    assert 0 <= padding_fraction(buckets, resized) < 1
    found = cost([b.indices.tolist() for b in buckets], resized, batch_size)
    heights, widths = resized[:, -1].T
    groups = np.rint(np.log(widths / heights) / 0.01)
    # All ways to cut the images, in the order of their aspects.
    runs = [np.flatnonzero(groups == value).tolist() for value in np.unique(groups)]
    for cuts in itertools.product([False, True], repeat=len(runs) - 1):
        if sum(cuts) < count:
            parts = [list(runs[0])]
            for cut, run in zip(cuts, runs[1:], strict=True):
                parts.append(list(run)) if cut else parts[-1].extend(run)
            assert found <= cost(parts, resized, batch_size)


def cost(parts, resized, batch_size) -> int:
    """Return the pixels in all batches, by the definition."""
    total = 0
    for part in parts:
        batches = -(-len(part) // batch_size)
        sides = -(-resized[part].max(0) // 8) * 8
        total += batches * batch_size * int(sides.prod(-1).sum())
    return total
