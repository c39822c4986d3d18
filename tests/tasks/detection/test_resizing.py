"""Sizes, pixels, boxes and masks after resizing, by goldens of mmdetection."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carafe_jax.tasks.detection.device_batch import normalised_images
from carafe_jax.tasks.detection.photographs import padded_image
from carafe_jax.tasks.detection.resizing import (
    SIZE_DIVISOR,
    nearest_pixels,
    resized_size,
)
from carafe_jax.tasks.detection.views import View, whole_view
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph
from tests.detection_goldens import load

# Limits of the golden pictures, as short and long side.
LIMITS = {"up": (80, 133), "down": (40, 66)}
SIDES = st.integers(1, 9000)
drawn = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def rgb(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., ::-1])


def golden(limits: str) -> tuple[np.ndarray, Size]:
    """Return the photograph, RGB, and its size after resizing."""
    pixels = rgb(load("preprocess")["image_bgr"])
    short, long = LIMITS[limits]
    size = Size(*pixels.shape[:2])
    return pixels, resized_size(size, short_side=short, long_side=long)


def flipped(size: Size) -> View:
    return View(top=0, left=0, part=size, flip_columns=True)


def test_sizes_are_those_of_the_reference():
    cases = load("preprocess")
    for size, expected, scale in zip(
        cases["hw"], cases["new_hw_1333_800"], cases["scale_factor_wh"], strict=True
    ):
        size = Size(*size.tolist())
        resized = resized_size(size, short_side=800, long_side=1333)
        assert resized == tuple(expected)
        ratios = resized.width / size.width, resized.height / size.height
        np.testing.assert_allclose(ratios, scale, rtol=1e-15)


@pytest.mark.parametrize("limits", LIMITS)
def test_pixels_are_those_of_the_reference(limits):
    pixels, size = golden(limits)
    resized = resize_photograph(pixels, size)
    cases = load("preprocess")
    np.testing.assert_array_equal(resized, rgb(cases[f"resized_{limits}"]))
    np.testing.assert_array_equal(
        flipped(size).of_pixels(resized), rgb(cases[f"resized_{limits}_flipped"])
    )


@pytest.mark.parametrize("limits", LIMITS)
def test_normalised_images_are_those_of_the_reference(limits):
    pixels, size = golden(limits)
    image = padded_image(resize_photograph(pixels, size), size.padded_to(SIZE_DIVISOR))
    sizes = jnp.array([size])
    batch = normalised_images(jnp.array(image[None]), sizes, dtype=jnp.float32)
    expected = load("preprocess")[f"batch_{limits}"].transpose(0, 2, 3, 1)
    _, height, width, _ = expected.shape
    # The last bit: the reference divides in another order.
    np.testing.assert_allclose(batch[:, :height, :width], expected, atol=1e-6)
    assert not batch[:, height:].any()
    assert not batch[:, :, width:].any()


def test_boxes_are_those_of_the_reference():
    cases = load("preprocess")
    pixels, size = golden("up")
    scale = np.array([size.width / pixels.shape[1], size.height / pixels.shape[0]] * 2)
    boxes = cases["boxes"].astype(np.float64) * scale
    # The reference computes in float32.
    for view, name in ((whole_view(size), "up"), (flipped(size), "up_flipped")):
        expected = cases[f"boxes_rescaled_{name}"]
        np.testing.assert_allclose(view.of_boxes(boxes), expected, atol=1e-5)


def test_masks_are_those_of_the_reference():
    cases = load("preprocess")
    masks, (_, size) = cases["masks"], golden("up")
    rows = nearest_pixels(masks.shape[1], size.height)
    columns = nearest_pixels(masks.shape[2], size.width)
    resized = masks[:, rows][:, :, columns]
    np.testing.assert_array_equal(resized, cases["masks_rescaled_up"])
    for mask, expected in zip(resized, cases["masks_rescaled_up_flipped"], strict=True):
        np.testing.assert_array_equal(flipped(size).of_pixels(mask), expected)


@drawn
@given(st.integers(1, 400), st.integers(1, 400))
def test_nearest_pixels_are_those_of_opencv(side, resized):
    row = np.arange(side, dtype=np.float32)[None]
    expected = cv2.resize(row, (resized, 1), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(nearest_pixels(side, resized), expected[0])


@drawn
@given(SIDES, SIDES, st.integers(1, 900), st.integers(0, 900))
def test_resized_sides_fill_one_limit_and_exceed_none(height, width, short, more):
    size, long = Size(height, width), short + more
    resized = resized_size(size, short_side=short, long_side=long)
    assert max(resized) <= long
    assert min(resized) <= short
    assert min(resized) >= 1
    assert max(resized) == long or min(resized) == short
    assert size.is_landscape <= resized.is_landscape
    assert size.transposed.is_landscape <= resized.transposed.is_landscape
    for divisor in (32, 64):
        padded = resized.padded_to(divisor)
        assert padded.holds(resized)
        for side, own in zip(padded, resized, strict=True):
            assert side % divisor == 0
            assert side - own < divisor


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(1, 1), Size(800, 800)),
        (Size(100, 8000), Size(17, 1333)),
        (Size(8000, 100), Size(1333, 17)),
        (Size(1, 8000), Size(1, 1333)),  # Rounding gives no row.
    ],
)
def test_extreme_photographs_keep_a_pixel(size, expected):
    assert resized_size(size, short_side=800, long_side=1333) == expected
    pixels = np.full((*size, 3), 7, np.uint8)
    resized = resize_photograph(pixels, expected)
    assert resized.shape == (*expected, 3)
    assert (resized == 7).all()
