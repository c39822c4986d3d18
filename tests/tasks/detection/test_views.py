"""Views: crops, flips and turns move pixels and boxes exactly."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carafe_jax.tasks.detection.views import View, random_view, whole_view
from carafe_jax.tasks.image_size import Size

BOOLEANS = (False, True)
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def paint(boxes: np.ndarray, size: Size) -> np.ndarray:
    """Return a picture of each box of whole pixels, (g, h, w)."""
    painted = np.zeros((len(boxes), *size), np.uint8)
    for picture, (x1, y1, x2, y2) in zip(painted, boxes.astype(int), strict=True):
        picture[y1:y2, x1:x2] = 1
    return painted


@st.composite
def views(draw) -> tuple[Size, View]:
    """Draw an image's size and a view of it."""
    sides = st.integers(1, 12)
    size = Size(draw(sides), draw(sides))
    top, left = (draw(st.integers(0, side - 1)) for side in size)
    height = draw(st.integers(1, size.height - top))
    width = draw(st.integers(1, size.width - left))
    flags = {
        name: draw(st.booleans()) for name in ("flip_rows", "flip_columns", "transpose")
    }
    return size, View(top=top, left=left, part=Size(height, width), **flags)


@drawn
@given(views(), st.integers(0, 2**32 - 1))
def test_boxes_move_with_their_pixels(case, seed):
    size, view = case
    rng = np.random.default_rng(seed)
    x = np.sort(rng.integers(0, size.width + 1, (5, 2)), -1)
    y = np.sort(rng.integers(0, size.height + 1, (5, 2)), -1)
    boxes = np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], -1).astype(np.float64)
    clipped = view.clipped(boxes)
    moved = view.of_boxes(clipped)
    assert (moved[:, :2] <= moved[:, 2:]).all()
    for before, after in zip(paint(boxes, size), paint(moved, view.size), strict=True):
        np.testing.assert_array_equal(view.of_pixels(before), after)


@drawn
@given(views())
def test_view_has_its_size(case):
    size, view = case
    assert view.of_pixels(np.zeros((*size, 3))).shape == (*view.size, 3)


def drawn_views(size: Size, count: int = 200, **fields) -> list[View]:
    rng = np.random.default_rng(0)
    values = {"crop_size": None, "flips": "none", "turns": "none", **fields}
    return [random_view(rng, size, **values) for _ in range(count)]


def test_turns_are_those_of_numpy():
    pixels = np.arange(12).reshape(3, 4)
    pictures = [
        view.of_pixels(pixels).tolist() for view in drawn_views(Size(3, 4), turns="all")
    ]
    expected = [np.rot90(pixels, turns).tolist() for turns in range(4)]
    assert all(picture in expected for picture in pictures)
    assert all(picture in pictures for picture in expected)


def motions(views: list[View]) -> set[tuple[bool, bool, bool]]:
    return {(view.flip_rows, view.flip_columns, view.transpose) for view in views}


ALL = set(itertools.product(BOOLEANS, BOOLEANS, BOOLEANS))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {(False, False, False)}),
        ({"flips": "horizontal"}, {(False, flip, False) for flip in BOOLEANS}),
        ({"flips": "both"}, {each for each in ALL if not each[2]}),
        ({"turns": "all"}, {(a, b, a ^ b) for a in BOOLEANS for b in BOOLEANS}),
        ({"flips": "horizontal", "turns": "all"}, ALL),
        (
            {"flips": "horizontal", "turns": "all", "transpose": False},
            {each for each in ALL if not each[2]},
        ),
        (
            {"turns": "all", "transpose": True},
            {(False, True, True), (True, False, True)},
        ),
    ],
)
def test_all_motions_of_the_options_are_drawn(fields, expected):
    assert motions(drawn_views(Size(3, 4), **fields)) == expected


@pytest.mark.parametrize(
    ("size", "part"),
    [
        (Size(10, 9), Size(4, 4)),
        (Size(3, 9), Size(3, 4)),
        (Size(2, 3), Size(2, 3)),
    ],
)
def test_crops_are_square_where_the_image_is_large_enough(size, part):
    made = drawn_views(size, crop_size=4)
    assert {view.part for view in made} == {part}
    tops = {view.top for view in made}
    lefts = {view.left for view in made}
    assert tops == set(range(size.height - part.height + 1))
    assert lefts == set(range(size.width - part.width + 1))


def test_whole_view_changes_nothing():
    pixels = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(whole_view(Size(2, 3)).of_pixels(pixels), pixels)
