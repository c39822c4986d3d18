import pathlib

import numpy as np
import pytest
from PIL import Image

from carafe_jax.tasks.inpainting.hole_pictures import HoleColour, read_hole
from tests.tasks.inpainting.pictures import random_photo, save, square_hole


def test_hole_is_read_in_every_colour(tmp_path):
    hole = square_hole(12, 14)
    light = (255 * hole).astype(np.uint8)
    clear = np.dstack([random_photo(12, 14), 255 - light])
    masks: dict[HoleColour, pathlib.Path] = {
        "white": save(tmp_path / "white.png", light),
        "black": save(tmp_path / "black.png", 255 - light),
        "transparent": save(tmp_path / "clear.png", clear),
    }
    for colour, path in masks.items():
        np.testing.assert_array_equal(read_hole(path, colour=colour), hole)
    bits = tmp_path / "bits.png"
    Image.fromarray(hole).save(bits)
    np.testing.assert_array_equal(read_hole(bits, colour="white"), hole)


def test_hole_grows_on_every_side(tmp_path):
    path = save(tmp_path / "mask.png", (255 * square_hole(12, 14)).astype(np.uint8))
    expected = np.zeros((12, 14), bool)
    expected[:8, 1:11] = True
    np.testing.assert_array_equal(read_hole(path, colour="white", grow=2), expected)


@pytest.mark.parametrize(
    ("pixels", "colour", "message"),
    [
        (np.zeros((8, 8)), "white", "must show a hole in white, got none.* 0 to 0"),
        (np.eye(8), "white", "must show a hole in white, got none.* 0 to 1 of 255"),
        (np.full((8, 8), 255), "black", "must show a hole in black, got none"),
        (np.full((8, 8), 255), "white", "must leave pixels .* got white everywhere"),
        (255 * np.eye(8), "transparent", "must have transparent pixels"),
        (np.full((8, 8), 100), "white", "must be black and white, .* got 100%"),
        (np.full((8, 8, 4), 100), "white", "must be opaque"),
    ],
)
def test_masks_that_show_no_hole_are_refused(tmp_path, pixels, colour, message):
    path = save(tmp_path / "mask.png", pixels.astype(np.uint8))
    with pytest.raises(ValueError, match=message):
        read_hole(path, colour=colour)
