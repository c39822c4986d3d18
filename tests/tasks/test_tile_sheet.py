"""Sheets of pictures in rows."""

import numpy as np
from PIL import Image

from carafe_jax.tasks.tile_sheet import stack_tiles

WIDE, NARROW, TALL = (
    Image.new("RGB", size, "red") for size in ((200, 20), (90, 20), (90, 50))
)


def red(sheet):
    return (sheet == (255, 0, 0)).all(-1)


def test_columns_are_as_wide_as_their_tiles():
    sheet = stack_tiles([[WIDE, NARROW], [WIDE, TALL]], titles=("a", "b"))
    assert sheet.shape == (26 + 24 + 54, 200 + 4 + 90, 3)
    assert red(sheet)[26:46, :200].all()
    assert red(sheet)[26:46, 204:].all()
    assert red(sheet)[50:100, 204:].all()
    assert red(sheet).sum() == 20 * 290 + 200 * 20 + 90 * 50


def test_titles_are_centred_above_their_columns():
    sheet = stack_tiles([[WIDE, NARROW]], titles=("n", "n"))
    places = np.flatnonzero((sheet[:26] < 200).any((0, 2)))
    left, right = places[places < 200], places[places > 204]
    # Half a pixel, and the asymmetry of the letter.
    np.testing.assert_allclose(left.mean(), 99.5, atol=2)
    np.testing.assert_allclose(right.mean(), 204 + 44.5, atol=2)


def test_column_of_a_long_title_is_wide_enough():
    sheet = stack_tiles([[NARROW, NARROW]], titles=("one long title of it", "b"))
    assert sheet.shape[1] > 2 * 90 + 4
    # The title ends before the second column, whose own is in its middle.
    second = sheet.shape[1] - 90
    assert (sheet[:26, second - 4 : second + 20] == 255).all()
    assert red(sheet)[26:46, second:].all()
