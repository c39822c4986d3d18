"""Boxes, masks and labels on photographs."""

import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.viz import draw_detections
from carafe_jax.viz.colours import WHITE, Colour, distinct_colour, text_colour
from carafe_jax.viz.label_places import LabelPlaces

GREY = 120


def photograph(height, width, value=GREY):
    return np.full((height, width, 3), value, np.uint8)


def changed(picture, value=GREY):
    return (picture != value).any(-1)


def mask(size, rows, columns):
    found = np.zeros(size, bool)
    found[rows, columns] = True
    return found


def test_box_has_lines_inside_its_border():
    picture = draw_detections(photograph(100, 80), [[10, 20, 50, 60]], labels=["a"])
    drawn = changed(picture)
    for row in (20, 59):
        assert drawn[row, 10:50].all()
    for column in (10, 49):
        assert drawn[20:60, column].all()
    assert not drawn[22:58, 12:48].any()
    assert not drawn[60:].any()


def test_photograph_is_kept():
    given = photograph(60, 60)
    draw_detections(given, [[5, 5, 40, 40]], labels=["a"], scores=[0.5])
    assert (given == GREY).all()


def test_arrays_of_jax_are_drawn_as_those_of_numpy():
    def drawn(array):
        return draw_detections(
            array(photograph(40, 40)),
            array([[5.0, 5, 30, 30]]),
            labels=["a"],
            scores=array([0.5]),
            masks=array(mask((40, 40), slice(8, 20), slice(8, 20))[None]),
        )

    np.testing.assert_array_equal(drawn(jnp.asarray), drawn(np.asarray))


def test_masks_without_a_pixel_are_not_drawn():
    boxes, labels = [[5, 5, 30, 30]], ["a"]
    masks = np.zeros((1, 40, 40), bool)
    picture, without = (
        draw_detections(photograph(40, 40), boxes, labels=labels, masks=given)
        for given in (masks, None)
    )
    np.testing.assert_array_equal(picture, without)


def test_masks_are_translucent_with_an_opaque_outline():
    size = (80, 80)
    masks = mask(size, slice(10, 50), slice(20, 70))[None]
    picture = draw_detections(
        photograph(*size), [[20, 10, 70, 50]], labels=["a"], masks=masks
    )
    colour = np.array(distinct_colour(0))
    np.testing.assert_array_equal(picture[49, 60], colour)
    np.testing.assert_array_equal(picture[30, 69], colour)
    np.testing.assert_allclose(picture[30, 40], 0.6 * GREY + 0.4 * colour, atol=1)
    assert not changed(picture)[50:].any()


def test_masks_may_be_made_one_by_one():
    class Masks:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return mask((50, 50), slice(10, 20 + index), slice(5, 30))

    boxes = [[5, 10, 30, 20], [5, 10, 30, 21]]
    lazy, whole = (
        draw_detections(photograph(50, 50), boxes, labels=["a", "b"], masks=masks)
        for masks in (Masks(), np.stack([Masks()[0], Masks()[1]]))
    )
    np.testing.assert_array_equal(lazy, whole)


def test_classes_have_the_same_colours_in_every_picture():
    boxes = [[5, 5, 45, 45], [50, 50, 95, 95]]
    classes = ("cat", "dog", "eel")
    first = draw_detections(
        photograph(100, 100), boxes, labels=["dog", "eel"], classes=classes
    )
    second = draw_detections(
        photograph(100, 100), boxes, labels=["eel", "dog"], classes=classes
    )
    np.testing.assert_array_equal(first[40, 5], second[94, 60])
    np.testing.assert_array_equal(first[94, 60], second[40, 5])
    assert (first[40, 5] != first[94, 60]).any()


def test_objects_of_a_class_differ_in_lightness():
    boxes = [[5, 5, 45, 45], [50, 50, 95, 95]]
    picture = draw_detections(
        photograph(100, 100), boxes, labels=["dog", "dog"], classes=["cat", "dog"]
    )
    np.testing.assert_array_equal(picture[44, 20], distinct_colour(1))
    np.testing.assert_array_equal(picture[94, 60], distinct_colour(1, shade=1))


def test_objects_of_a_single_class_have_different_colours():
    boxes = [[5, 5, 45, 45], [50, 50, 95, 95]]
    picture = draw_detections(
        photograph(100, 100), boxes, labels=["cell", "cell"], classes=["cell"]
    )
    assert (picture[44, 20] != picture[94, 60]).any()


def test_small_objects_are_drawn_over_large_ones():
    size = (60, 60)
    masks = np.stack(
        [
            mask(size, slice(20, 30), slice(20, 30)),
            mask(size, slice(0, 60), slice(0, 60)),
        ]
    )
    boxes = [[20, 20, 30, 30], [0, 0, 60, 60]]
    picture = draw_detections(photograph(*size), boxes, labels=["b", "a"], masks=masks)
    np.testing.assert_array_equal(picture[20, 25], distinct_colour(1))


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (3, 200), (200, 3), (60, 45), (1200, 1600)]
)
def test_every_size_can_be_drawn_on(height, width):
    rng = np.random.default_rng(0)
    corners = rng.uniform(-0.2, 1, (12, 2)) * [width, height]
    sides = rng.uniform(0, 0.6, (12, 2)) * [width, height]
    boxes = np.concatenate([corners, corners + sides], 1)
    masks = rng.random((12, height, width)) < 0.3 if height < 1000 else None
    picture = draw_detections(
        photograph(height, width),
        boxes,
        labels=["a long name", "b"] * 6,
        scores=rng.random(12),
        masks=masks,
    )
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8


def test_lines_and_text_grow_with_the_picture():
    def drawn(scale):
        box = np.array([[20, 40, 80, 80]]) * scale
        picture = draw_detections(
            photograph(100 * scale, 100 * scale), box, labels=["word"], scores=[0.5]
        )
        return changed(picture).mean()

    assert drawn(16) == pytest.approx(drawn(8), rel=0.2)


def test_many_small_objects_have_no_labels():
    corners = np.stack(np.meshgrid(np.arange(18), np.arange(18)), -1).reshape(-1, 2)
    boxes = np.concatenate([14 * corners, 14 * corners + 10], 1)
    count = len(boxes)
    few, many = (
        draw_detections(
            photograph(256, 256), boxes[:n], labels=["cell"] * n, scores=[0.5] * n
        )
        for n in (1, count)
    )
    assert (few == 0).all(-1).any()  # Black text.
    assert not (many == 0).all(-1).any()
    assert not (many == 255).all(-1).any()


def test_names_give_way_to_scores_where_all_are_equal():
    boxes = [[40.0 * n, 40.0, 40.0 * n + 12, 52.0] for n in range(5)]
    scored, named = (
        changed(
            draw_detections(
                photograph(100, 200), boxes, labels=["cell"] * 5, scores=scores
            )
        )
        for scores in ([0.5] * 5, None)
    )
    # Above the boxes, there are short labels or none.
    assert 5 < scored[:39].any(0).sum() < 200
    assert not named[:39].any()


def test_boxes_outside_and_without_area_are_not_drawn():
    boxes = [[-30, -30, -5, -5], [70, 10, 90, 40], [20, 20, 20, 40]]
    picture = draw_detections(photograph(50, 60), boxes, labels=["a", "b", "c"])
    assert not changed(picture).any()


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4), np.float32)])
def test_photograph_without_objects_is_returned(boxes):
    masks = np.zeros((0, 30, 40), bool)
    picture = draw_detections(
        photograph(30, 40), boxes, labels=[], scores=[], masks=masks
    )
    assert not changed(picture).any()


def test_drawing_can_be_larger_than_the_photograph():
    masks = mask((20, 30), slice(5, 10), slice(4, 12))[None]
    picture = draw_detections(
        photograph(20, 30), [[4, 5, 12, 10]], labels=["a"], masks=masks, scale=5
    )
    assert picture.shape == (100, 150, 3)
    drawn = changed(picture)
    assert drawn[25:50, 20:60].all()
    assert not drawn[50:].any()


def test_names_are_drawn_on_one_line():
    for name in ("two\nlines", "ячмень", "", "x" * 300):
        picture = draw_detections(
            photograph(200, 300), [[9, 50, 200, 150]], labels=[name]
        )
        assert changed(picture)[50, 9:200].all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"photograph": np.zeros((5, 5))}, r"`photograph` must be uint8 .* float64"),
        ({"photograph": np.zeros((5, 0, 3), np.uint8)}, r"got uint8 of shape \(5, 0"),
        ({"boxes": np.zeros((2, 3))}, r"`boxes` .* got shape \(2, 3\)"),
        ({"boxes": [[0, 0, np.nan, 5]]}, "`boxes` must be finite"),
        ({"labels": ["a", "b"]}, "`labels` must have one value for each of the 1"),
        ({"scores": []}, "`scores` must have one value .* got 0"),
        ({"boxes": [[0, 0, 5, 5], [1]]}, "`boxes` must be numbers, got"),
        ({"boxes": [["a"] * 4]}, "`boxes` must be numbers, got"),
        ({"boxes": np.zeros((0, 3)), "labels": []}, r"`boxes` .* got shape \(0, 3\)"),
        ({"scores": [np.nan]}, r"`scores` must be numbers in \[0, 1\] .* \[nan\]"),
        ({"scores": [[0.5]]}, r"`scores` must be .* got shape \(1, 1\)"),
        ({"scores": 0.5}, r"`scores` must be .* got shape \(\)"),
        ({"scores": ["a"]}, "`scores` must be numbers, got"),
        ({"labels": "a"}, "`labels` must be names, a string for each, got 'a'"),
        ({"labels": np.array([3])}, "`labels` must be names, .* got .*3"),
        ({"labels": None}, "`labels` must be names, .* got None"),
        ({"classes": "a"}, "`classes` must be names, a string for each, got 'a'"),
        ({"masks": iter([])}, "`masks` must have a length, got"),
        ({"masks": np.zeros((1, 4, 5), bool)}, r"of the photograph's size, \(9, 9\)"),
        ({"masks": np.zeros((1, 9, 9))}, "must be Boolean .* got float64"),
        ({"classes": ["b"]}, "`labels` must be names in `classes`, got 'a'"),
        ({"scale": 0}, "`scale` must be an integer of at least 1, got 0"),
        ({"scale": 1.5}, "`scale` must be an integer of at least 1, got 1.5"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    given = {"photograph": photograph(9, 9), "boxes": [[1, 1, 5, 5]], "labels": ["a"]}
    given |= arguments
    with pytest.raises(RefusedError, match=message):
        draw_detections(given.pop("photograph"), given.pop("boxes"), **given)


def test_colours_are_visible_on_black_and_on_white():
    colours = [distinct_colour(index) for index in range(100)]
    assert len({*colours}) == 100
    for colour in colours:
        assert 1.05 / (colour.luminance + 0.05) > 2.5
        assert (colour.luminance + 0.05) / 0.05 > 4
        text = text_colour(colour)
        high, low = sorted([colour.luminance, text.luminance], reverse=True)
        assert (high + 0.05) / (low + 0.05) > 4.5
    assert text_colour(Colour(0, 0, 80)) == WHITE


def test_labels_stay_in_the_picture_and_apart():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 90, (40, 2))
    boxes = np.concatenate([corners, corners + 8], 1)
    places = LabelPlaces(boxes, size=(100, 100))
    taken = np.zeros((100, 100), int)
    found = [places.take(index, size=(7, 12)) for index in range(40)]
    for place in found:
        if place is not None:
            row, column = place
            assert 0 <= row <= 93
            assert 0 <= column <= 88
            taken[row : row + 7, column : column + 12] += 1
    assert taken.max() == 1
    assert places.take(0, size=(101, 5)) is None
