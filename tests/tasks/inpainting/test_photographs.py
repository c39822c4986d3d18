"""Photographs of every kind: the input of a network, and the pixels it may change."""

import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting import load
from carafe_jax.tasks.inpainting.photographs import put_back, to_8_bit_rgb
from tests.tasks.inpainting.pictures import square_hole

KINDS = [(dtype, c) for dtype in (np.uint8, np.uint16) for c in (1, 2, 3, 4)]


def drawn(dtype, channels, height=20, width=30):
    rng = np.random.default_rng(0)
    most = np.iinfo(dtype).max
    return rng.integers(0, most + 1, (height, width, channels)).astype(dtype)


@pytest.mark.parametrize(("dtype", "channels"), KINDS)
def test_only_the_hole_changes_in_a_photograph_of_any_kind(run, dtype, channels):
    photo, hole = drawn(dtype, channels), square_hole(20, 30)
    filled = load(run).fill(photo, hole)
    assert (filled.dtype, filled.shape) == (photo.dtype, photo.shape)
    np.testing.assert_array_equal(filled[~hole], photo[~hole])
    assert np.any(filled[hole] != photo[hole])


def test_given_arrays_are_not_modified():
    photo = drawn(np.uint8, 4)
    before = photo.copy()
    put_back(photo, np.zeros((20, 30, 3), np.uint8), square_hole(20, 30))
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize(
    ("dtype", "channels", "expected"),
    [
        (np.uint8, 1, [134]),  # 0.299 * 10 + 0.587 * 200 + 0.114 * 120, rounded
        (np.uint8, 2, [134, 255]),
        (np.uint8, 3, [10, 200, 120]),
        (np.uint8, 4, [10, 200, 120, 255]),
        (np.uint16, 1, [134 * 257]),
        (np.uint16, 2, [134 * 257, 65535]),
        (np.uint16, 3, [2570, 51400, 30840]),
        (np.uint16, 4, [2570, 51400, 30840, 65535]),
    ],
)
def test_fills_are_of_the_depth_and_the_channels_and_opaque(dtype, channels, expected):
    hole = square_hole(20, 30)
    fill = np.broadcast_to(np.array([10, 200, 120], np.uint8), (20, 30, 3))
    result = put_back(np.zeros((20, 30, channels), dtype), fill, hole)
    np.testing.assert_array_equal(result[hole], [expected] * hole.sum())


def test_networks_see_8_bit_rgb_on_white():
    grey = np.array([[[0], [128], [255]]], np.uint8)
    np.testing.assert_array_equal(to_8_bit_rgb(grey), np.repeat(grey, 3, -1))
    deep = np.array([[[0, 257, 65535]]], np.uint16)
    np.testing.assert_array_equal(to_8_bit_rgb(deep), [[[0, 1, 255]]])
    clear = np.array([[[9, 9, 9, 0], [100, 100, 100, 51], [9, 9, 9, 255]]], np.uint8)
    # A fifth of 100 and four fifths of 255 are 224.
    np.testing.assert_array_equal(to_8_bit_rgb(clear)[0, :, 0], [255, 224, 9])
    pair = np.array([[[100, 51]]], np.uint8)
    np.testing.assert_array_equal(to_8_bit_rgb(pair), [[[224, 224, 224]]])


@pytest.mark.parametrize(
    ("photograph", "message"),
    [
        (np.zeros((20, 30, 5), np.uint8), "must have shape .* got"),
        (np.zeros((20, 30, 3), np.float32), "uint8 in .* or uint16 in .* got float32"),
        (np.zeros((20, 30, 3), np.int32), "uint8 in .* or uint16 in .* got int32"),
        (np.zeros((0, 30, 3), np.uint8), "must have shape"),
        ([[0]], "must be a NumPy array .* got list"),
    ],
)
def test_other_arrays_are_refused_with_the_rule(run, photograph, message):
    with pytest.raises(RefusedError, match=message):
        load(run).fill(photograph, square_hole(20, 30))
