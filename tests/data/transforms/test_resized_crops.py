"""Boxes, and images decoded inside them."""

import io

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import Box, centre_box, decode_box, random_box

IMAGENET = {"area": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}


def gradient(width, height):
    """Red grows to the right, green downwards, so that a box is seen in its colours."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))


def as_jpeg(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, **options)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("size", [(500, 375), (64, 64), (3, 200), (1, 1)])
def test_random_boxes_are_in_the_image_and_follow_their_rules(size):
    rng = np.random.default_rng(0)
    boxes = [random_box(rng, size, **IMAGENET) for _ in range(500)]
    for box in boxes:
        assert box.left >= 0
        assert box.top >= 0
        assert 1 <= box.width <= size[0] - box.left
        assert 1 <= box.height <= size[1] - box.top
    if min(size) > 50:
        areas = np.array([b.width * b.height for b in boxes]) / (size[0] * size[1])
        ratios = np.array([b.width / b.height for b in boxes])
        # Rounding to whole pixels.
        assert 0.07 < areas.min() < 0.2
        assert 0.7 < ratios.min() < 0.85
        assert 1.2 < ratios.max() < 1.4


def test_box_of_an_image_that_is_too_wide_is_in_its_middle():
    box = random_box(np.random.default_rng(0), (1000, 10), **IMAGENET)
    assert box == Box(493, 0, 13, 10)


def test_centre_is_a_square_of_the_shorter_side():
    assert centre_box((40, 20), fraction=0.5) == Box(15, 5, 10, 10)


@pytest.mark.parametrize("size", [16, 100])
def test_box_has_the_colours_of_its_place(size):
    image = as_jpeg(gradient(640, 480))
    pixels = decode_box(image, Box(160, 240, 320, 120), size=size)
    assert pixels.shape == (size, size, 3)
    # The middle of the box, and half of its sides from end to end; JPEG is near.
    red, green = pixels[..., 0].astype(float), pixels[..., 1].astype(float)
    assert red.mean() == pytest.approx(255 / 2, abs=3)
    assert green.mean() == pytest.approx(255 * 300 / 480, abs=3)
    assert red[:, -1].mean() - red[:, 0].mean() == pytest.approx(127, abs=10)


def test_large_jpegs_are_decoded_at_a_smaller_scale(monkeypatch):
    image = as_jpeg(gradient(1600, 1200))
    decode_box(image, Box(0, 0, 1600, 1200), size=100)
    assert image.size == (200, 150)


def test_turned_images_are_cut_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    upright = gradient(300, 400)
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    pixels = decode_box(as_jpeg(stored, exif=exif), Box(0, 0, 100, 100), size=32)
    plain = decode_box(as_jpeg(upright), Box(0, 0, 100, 100), size=32)
    np.testing.assert_allclose(pixels.astype(int), plain, atol=8)


def test_small_images_are_enlarged():
    assert decode_box(as_jpeg(gradient(4, 3)), Box(0, 0, 4, 3), size=20).shape == (
        20,
        20,
        3,
    )
