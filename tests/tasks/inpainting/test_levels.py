"""Photographs that are halved until their holes are shallow."""

import numpy as np
import pytest

from carafe_jax.tasks.inpainting.levels import doubled, levels_of
from tests.tasks.inpainting.pictures import random_photo


def _levels(photo, hole, reach=3, longest_side=None):
    return levels_of(photo, hole, reach=reach, longest_side=longest_side)


def test_reduced_pixels_are_means_of_what_is_given():
    photo = random_photo(5, 6)
    hole = np.zeros((5, 6), bool)
    hole[:2, :2] = hole[2, 2] = True
    *_, level = _levels(photo, hole, reach=9, longest_side=3)
    assert level.hole.tolist() == [[True, False, False], [False] * 3, [False] * 3]
    np.testing.assert_array_equal(level.weight, level.hole)
    given = [photo[2, 3], photo[3, 2], photo[3, 3]]
    means = (np.mean(given, axis=0), photo[4, :2].mean(0))
    for mean, pixel in zip(means, (level.image[1, 1], level.image[2, 0]), strict=True):
        np.testing.assert_allclose(pixel, mean / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(level.image[0, 0], 0)


def test_a_shallow_hole_needs_one_size():
    hole = np.zeros((40, 40), bool)
    hole[10:16, 10:30] = True  # 3 pixels deep
    (level,) = _levels(random_photo(40, 40), hole)
    np.testing.assert_array_equal(level.weight, hole)


def test_weights_fall_smoothly_from_the_border_of_a_deep_hole_inwards():
    hole = np.zeros((200, 200), bool)
    hole[50:150, 50:150] = True
    first, *_, last = _levels(random_photo(200, 200), hole, reach=16)
    row = first.weight[100, 49:100]
    assert row[0] == 0  # given
    assert row[1] == 1
    assert np.all(np.diff(row[1:]) <= 0)
    # A smooth ramp over 16 pixels falls by 1.5 / 16 at most.
    assert abs(np.diff(row[1:])).max() < 0.1
    assert row[16] > 0
    np.testing.assert_array_equal(row[17:], 0)
    np.testing.assert_array_equal(last.weight, last.hole)


def test_a_reach_of_one_pixel_fills_that_pixel():
    hole = np.zeros((40, 40), bool)
    hole[5:20, 5:20] = True
    for level in _levels(random_photo(40, 40), hole, reach=1):
        assert set(np.unique(level.weight)) <= {0, 1}
        assert level.weight.any()


@pytest.mark.parametrize(("longest_side", "sizes"), [(40, 0), (39, 1), (10, 2), (9, 3)])
def test_nothing_is_filled_above_the_longest_side(longest_side, sizes):
    hole = np.zeros((30, 40), bool)
    hole[8:25, 8:25] = True
    levels = _levels(random_photo(30, 40), hole, reach=20, longest_side=longest_side)
    assert [level.weight.any() for level in levels] == [False] * sizes + [True]


def test_doubling_keeps_constants_and_ramps():
    ramp = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None, None], (5, 4, 3))
    large = doubled(ramp, (9, 8))
    assert large.shape == (9, 8, 3)
    # New pixels are at a quarter and three quarters of an old one; at the ends, the
    # last old pixels are repeated.
    inner = np.arange(1, 9) / 2 - 0.25
    np.testing.assert_allclose(large[1:, 3, 0], inner, atol=1e-6)
    np.testing.assert_array_equal(doubled(np.ones((2, 3, 1), np.float32), (4, 5)), 1)
