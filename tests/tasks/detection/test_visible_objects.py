"""Objects in views, by pictures of their boxes and masks."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carafe_jax.data import ImageObjects
from carafe_jax.tasks.detection.instance_masks import pack_masks
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.detection.trained_objects import trained_objects
from carafe_jax.tasks.detection.views import View, random_view, whole_view
from carafe_jax.tasks.detection.visible_objects import VisibleObjects, visible_objects
from carafe_jax.tasks.image_size import Size
from tests.tasks.detection.memory_source import objects_of, random_masks

SIZE = Size(20, 30)
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def see(
    objects: ImageObjects,
    view: View,
    *,
    size=SIZE,
    resized=SIZE,
    limit=100,
    masks=True,
) -> VisibleObjects:
    return visible_objects(
        objects, size=size, resized=resized, view=view, limit=limit, masks=masks
    )


def unpacked(seen: VisibleObjects, view: View, *, size: Size, slots=None) -> np.ndarray:
    slots = len(seen.masks) if slots is None else slots
    packed = pack_masks(seen.masks, view=view, slots=slots, size=size)
    assert packed.shape == (slots, size.height, size.width // 8)
    return np.unpackbits(packed, axis=-1)


def part(top, left, height, width, **flags) -> View:
    return View(top=top, left=left, part=Size(height, width), **flags)


def resized_by_opencv(mask: np.ndarray, size: Size) -> np.ndarray:
    shape = size.width, size.height
    return cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST)


@drawn
@given(st.integers(0, 2**32 - 1))
def test_masks_are_those_of_whole_pictures(seed):
    rng = np.random.default_rng(seed)
    size, resized = (Size(*rng.integers(2, 40, 2).tolist()) for _ in range(2))
    masks = random_masks(rng, size, 4)
    crop = int(rng.integers(1, 40))
    view = random_view(rng, resized, crop_size=crop, flips="both", turns="all")
    expected = [view.of_pixels(resized_by_opencv(mask, resized)) for mask in masks]
    seen = see(
        objects_of(masks, classes=np.arange(4)), view, size=size, resized=resized
    )
    got = unpacked(seen, view, size=view.size.padded_to(SIZE_DIVISOR))
    height, width = view.size
    assert got.sum() == got[:, :height, :width].sum()
    for number, mask, box in zip(seen.classes, got, seen.boxes, strict=True):
        np.testing.assert_array_equal(mask[:height, :width], expected[number])
        x1, y1, x2, y2 = box
        assert 0 <= x1 <= x2 <= width
        assert 0 <= y1 <= y2 <= height
    visible = {number for number, mask in enumerate(expected) if mask.any()}
    assert visible <= set(seen.classes.tolist())


@drawn
@given(st.integers(0, 2**32 - 1))
def test_cut_objects_have_the_extent_of_their_visible_mask(seed):
    rng = np.random.default_rng(seed)
    masks = random_masks(rng, SIZE, 1)
    view = random_view(rng, SIZE, crop_size=12, flips="both", turns="all")
    shown = view.of_pixels(masks[0])
    seen = see(objects_of(masks), view)
    if not shown.any():
        assert len(seen.boxes) == 0
        return
    y, x = np.nonzero(shown)
    extent = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    np.testing.assert_array_equal(seen.boxes, [extent])


def test_uncut_objects_keep_their_annotated_box():
    masks = np.zeros((1, *SIZE), bool)
    masks[0, 5:9, 5:9] = True
    objects = objects_of(masks, boxes=[[4.25, 4.5, 9.75, 9.5]])
    for view in (whole_view(SIZE), part(4, 4, 10, 10)):
        seen = see(objects, view)
        expected = np.array([4.25, 4.5, 9.75, 9.5]) - [view.left, view.top] * 2
        np.testing.assert_allclose(seen.boxes, [expected])


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (part(0, 0, 10, 10), [[5, 5, 10, 9]]),
        (part(0, 10, 10, 10), [[0, 5, 2, 9]]),
        (part(0, 11, 10, 10), [[0, 5, 1, 9]]),
        (part(0, 12, 10, 10), []),
        (part(9, 0, 10, 10), []),
    ],
)
def test_boxes_without_masks_are_clipped_to_the_view(view, expected):
    masks = np.ones((1, *SIZE), bool)
    objects = objects_of(masks, boxes=[[5, 5, 12, 9]])
    seen = see(objects, view, masks=False)
    assert seen.boxes.tolist() == expected
    assert seen.masks == []


def test_slivers_under_a_pixel_are_dropped_by_crops_alone():
    objects = objects_of(np.ones((1, *SIZE), bool), boxes=[[5, 5, 12.5, 9]])
    assert len(see(objects, part(0, 12, 10, 10), masks=False).boxes) == 0
    # The reference keeps small boxes of whole photographs.
    resized = Size(2, 3)
    small = see(objects, whole_view(resized), resized=resized, masks=False)
    assert len(small.boxes) == 1
    assert (small.boxes[0, 2:] - small.boxes[0, :2] < 1).any()


def test_boxes_are_resized_by_both_ratios_and_clipped():
    boxes = [[3, 2, 6, 4], [-5, 5, 99, 9]]
    objects = objects_of(np.ones((2, *SIZE), bool), boxes=boxes)
    resized = Size(40, 61)
    seen = see(objects, whole_view(resized), resized=resized, masks=False)
    ratio = 61 / 30
    expected = [[3 * ratio, 4, 6 * ratio, 8], [0, 10, 61, 18]]
    np.testing.assert_allclose(seen.boxes, expected)


def test_largest_objects_are_kept_in_their_order():
    sides = [3, 9, 1, 9, 5]
    boxes = [[2, 2, 2 + side, 4] for side in sides]
    objects = objects_of(np.ones((5, *SIZE), bool), boxes=boxes)
    for limit, kept in ((1, [1]), (2, [1, 3]), (4, [0, 1, 3, 4]), (5, range(5))):
        seen = see(objects, whole_view(SIZE), limit=limit)
        widths = (seen.boxes[:, 2] - seen.boxes[:, 0]).tolist()
        assert widths == [sides[i] for i in kept]
        assert len(seen.masks) == len(widths)


def test_padding_of_masks_is_zero():
    seen = see(objects_of(np.ones((1, *SIZE), bool)), whole_view(SIZE))
    got = unpacked(seen, whole_view(SIZE), size=Size(64, 64), slots=3)
    assert got[0, : SIZE.height, : SIZE.width].all()
    assert got.sum() == SIZE.height * SIZE.width


@pytest.mark.parametrize(
    "fields",
    [
        {"crowd": np.array([True, False])},
        {"areas": np.array([0.0, 1.0])},
        {"masked": np.array([False, True])},
        {"boxes": np.array([[1.0, 1, 1.9, 5], [1, 1, 2, 2]])},
        {"boxes": np.array([[1.0, 1, 5, 1.5], [1, 1, 2, 2]])},
        {"boxes": np.array([[30.0, 1, 40, 5], [1, 1, 2, 2]])},
        {"boxes": np.array([[1.0, -9, 5, 0], [29, 19, 40, 40]])},
    ],
)
def test_objects_that_are_not_trained(fields):
    objects = objects_of(np.ones((2, *SIZE), bool))
    assert trained_objects(objects, SIZE, masks=True).all()
    objects = dataclasses.replace(objects, **fields)
    assert trained_objects(objects, SIZE, masks=True).tolist() == [False, True]
    seen = see(objects, whole_view(SIZE))
    assert seen.classes.tolist() == [1]
    # Without masks, objects that lack one are trained.
    boxes_alone = trained_objects(objects, SIZE, masks=False).tolist()
    assert boxes_alone == [list(fields) == ["masked"], True]
