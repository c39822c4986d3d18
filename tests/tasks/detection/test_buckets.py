"""Sizes of batches, and the photographs that share them."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carafe_jax.tasks.detection.buckets import bucket_size, bucket_sizes, make_buckets
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR, resized_size
from carafe_jax.tasks.image_size import Size

sizes_of_coco = functools.partial(bucket_sizes, short_side=800, long_side=1333)
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def test_sizes_of_coco():
    assert sizes_of_coco() == ((832, 1344),)
    assert sizes_of_coco(aspects=(3 / 2, 4 / 3)) == (
        (832, 1088),
        (832, 1216),
        (832, 1344),
    )
    # An aspect beyond that of `long_side` adds nothing.
    assert sizes_of_coco(aspects=(9.0, 1.666)) == ((832, 1344),)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(480, 640), Size(832, 1088)),
        (Size(640, 480), Size(1088, 832)),
        (Size(427, 640), Size(832, 1216)),
        (Size(500, 500), Size(832, 1088)),
        (Size(100, 8000), Size(832, 1344)),
        (Size(8000, 100), Size(1344, 832)),
    ],
)
def test_photographs_have_the_smallest_bucket_that_holds_them(size, expected):
    sizes = sizes_of_coco(aspects=(4 / 3, 3 / 2))
    assert (
        bucket_size(resized_size(size, short_side=800, long_side=1333), sizes)
        == expected
    )


@drawn
@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 900),
    st.integers(0, 900),
    st.lists(st.floats(1, 10), max_size=3),
)
def test_every_photograph_has_a_bucket(height, width, short, more, aspects):
    long = short + more
    resized = resized_size(Size(height, width), short_side=short, long_side=long)
    sizes = bucket_sizes(short_side=short, long_side=long, aspects=aspects)
    found = bucket_size(resized, sizes)
    assert found.holds(resized)
    assert all(side % 64 == 0 for side in found)
    assert found.is_landscape or not resized.is_landscape


def test_landscape_and_portrait_are_never_mixed():
    sizes = [Size(60, 64), Size(64, 60), Size(64, 64), Size(10, 90)]
    buckets = make_buckets(
        (i, size, size.padded_to(SIZE_DIVISOR)) for i, size in enumerate(sizes)
    )
    found = [(bucket.size, bucket.indices.tolist()) for bucket in buckets]
    assert found == [((64, 64), [1]), ((64, 64), [0, 2]), ((64, 128), [3])]
    assert all(bucket.indices.dtype == np.int64 for bucket in buckets)
