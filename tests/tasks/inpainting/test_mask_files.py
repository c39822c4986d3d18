import logging
import pathlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.mask_files import HoleColour, read_hole
from tests.tasks.inpainting.pictures import random_photo, save, square_hole


def strokes(size=128, width=6):
    mask = Image.new("L", (size, size))
    for top in range(10, size, 42):
        ImageDraw.Draw(mask).line((0, top, size, top + 30), fill=255, width=width)
    return mask


def layer(paint, opacity):
    """Return paint of one colour on a transparent layer."""
    channels = (Image.new("L", opacity.size, value) for value in paint)
    return Image.merge("RGBA", [*channels, opacity])


def read(image, tmp_path, colour: HoleColour = "white", *, ending="png", **options):
    path = tmp_path / f"mask.{ending}"
    image.save(path, **options)
    return read_hole(path, colour=colour)


def test_hole_is_read_in_every_colour(tmp_path):
    hole = square_hole(12, 14)
    light = (255 * hole).astype(np.uint8)
    clear = np.dstack([random_photo(12, 14), 255 - light])
    opaque = np.dstack([random_photo(12, 14), light])
    masks: dict[HoleColour, pathlib.Path] = {
        "white": save(tmp_path / "white.png", light),
        "black": save(tmp_path / "black.png", 255 - light),
        "transparent": save(tmp_path / "clear.png", clear),
        "opaque": save(tmp_path / "opaque.png", opaque),
    }
    for colour, path in masks.items():
        np.testing.assert_array_equal(read_hole(path, colour=colour), hole)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_hole_is_read_from_every_mode(tmp_path, mode):
    hole = square_hole(12, 14)
    if mode == "I;16":
        image = Image.fromarray(hole.astype(np.uint16) * 65535)
    else:
        image = Image.fromarray((255 * hole).astype(np.uint8)).convert(mode)
    np.testing.assert_array_equal(read(image, tmp_path), hole)


def test_half_brightness_is_white_and_what_is_below_is_black(tmp_path):
    image = Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8))
    np.testing.assert_array_equal(read(image, tmp_path), [[False, False, True, True]])
    black = read(image, tmp_path, "black")
    np.testing.assert_array_equal(black, [[True, True, False, False]])


@pytest.mark.parametrize("radius", [1, 2, 3])
@pytest.mark.parametrize("colour", ["white", "black"])
def test_soft_edges_are_split_at_half_brightness(tmp_path, radius, colour):
    mask = strokes(width=12)
    soft = mask.filter(ImageFilter.GaussianBlur(radius))
    if colour == "black":
        soft = Image.eval(soft, lambda value: 255 - value)
    hole = read(soft, tmp_path, colour)
    differing = hole != (np.asarray(mask) >= 128)
    assert differing.mean() < 0.01


def test_compressed_masks_are_read(tmp_path):
    mask = strokes()
    hole = read(mask, tmp_path, ending="jpg", quality=30)
    assert np.mean(hole != (np.asarray(mask) >= 128)) < 0.001


@pytest.mark.parametrize("radius", [0, 2])
@pytest.mark.parametrize(
    ("paint", "colour"),
    [
        ((255, 255, 255), "white"),
        ((255, 255, 0), "white"),
        ((0, 0, 0), "black"),
        ((0, 0, 90), "black"),
        ((255, 255, 255), "opaque"),
        ((0, 0, 0), "opaque"),
        ((200, 30, 30), "opaque"),
    ],
)
def test_paint_on_a_transparent_layer_is_the_hole(tmp_path, paint, colour, radius):
    opacity = strokes(width=12).filter(ImageFilter.GaussianBlur(radius))
    hole = read(layer(paint, opacity), tmp_path, colour)
    assert np.mean(hole != (np.asarray(opacity) >= 128)) < 0.02


@pytest.mark.parametrize(
    ("paint", "colour"), [((0, 0, 0), "white"), ((255, 255, 255), "black")]
)
def test_paint_of_another_colour_names_the_right_option(tmp_path, paint, colour):
    with pytest.raises(RefusedError, match="--hole opaque") as refused:
        read(layer(paint, strokes()), tmp_path, colour)
    assert "--hole transparent" not in str(refused.value)


def test_photograph_with_a_transparent_hole_names_both_parts(tmp_path):
    clear = np.dstack([random_photo(40, 40), np.full((40, 40), 255, np.uint8)])
    clear[:4, ..., 3] = 0
    with pytest.raises(
        RefusedError, match=r"90 % of it; .*--hole transparent it is the rest, 10 %"
    ):
        read(Image.fromarray(clear), tmp_path)


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
        (255 * np.eye(8), "opaque", "must have transparent pixels for an opaque hole"),
        (np.full((8, 8), 100), "white", "got none.* 100 to 100"),
        (np.full((8, 8), 150), "white", "must be black and white .* got 0 %"),
        (random_photo(40, 40), "black", "must be black and white .* a photograph"),
        (np.full((8, 8, 4), 0), "white", "got none.* 0 to 0"),
    ],
)
def test_masks_that_show_no_hole_are_refused(tmp_path, pixels, colour, message):
    path = save(tmp_path / "mask.png", pixels.astype(np.uint8))
    with pytest.raises(RefusedError, match=message):
        read_hole(path, colour=colour)


def test_animations_are_no_masks(tmp_path):
    frames = [strokes(), strokes(width=12)]
    with pytest.raises(RefusedError, match="must hold one image, got 2 in a GIF"):
        read(frames[0], tmp_path, ending="gif", save_all=True, append_images=frames[1:])


def test_hole_of_nearly_everything_names_the_opposite(tmp_path, caplog):
    mask = Image.eval(strokes(width=3), lambda value: 255 - value)
    with caplog.at_level(logging.WARNING):
        hole = read(mask, tmp_path)
    assert hole.mean() > 0.8
    assert "If it should be the rest, use --hole black." in caplog.text


def test_hole_of_all_but_one_pixel_is_not_reported_as_the_whole(tmp_path, caplog):
    pixels = np.full((60, 60), 255, np.uint8)
    pixels[30, 30] = 0
    with caplog.at_level(logging.WARNING):
        read(Image.fromarray(pixels), tmp_path)
    assert "the hole is over 99 % of the mask" in caplog.text


@pytest.mark.parametrize("corner", [0, 254])
@pytest.mark.parametrize(("colour", "other"), [("white", "black"), ("black", "white")])
def test_mask_with_a_transparent_corner_names_the_other_colour(
    tmp_path, caplog, corner, colour, other
):
    mask = strokes(width=3)
    if colour == "white":
        mask = Image.eval(mask, lambda value: 255 - value)
    opacity = np.full((128, 128), 255, np.uint8)
    opacity[0, 0] = corner
    mask = Image.merge("LA", [mask, Image.fromarray(opacity)])
    with caplog.at_level(logging.WARNING):
        assert read(mask, tmp_path, colour).mean() > 0.8
    assert f"If it should be the rest, use --hole {other}." in caplog.text


@pytest.mark.parametrize("grow", [40, 10**6])
def test_hole_grows_by_the_given_width(tmp_path, grow):
    hole = np.zeros((4, 60), bool)
    hole[1, 2] = True
    path = save(tmp_path / "mask.png", (255 * hole).astype(np.uint8))
    if grow > 57:
        with pytest.raises(RefusedError, match="white everywhere, grown by 1000000"):
            read_hole(path, colour="white", grow=grow)
    else:
        grown = read_hole(path, colour="white", grow=grow)
        np.testing.assert_array_equal(grown, np.arange(60) < np.full((4, 1), 43))


def test_faint_paint_names_its_opacity(tmp_path):
    faint = Image.eval(strokes(), lambda value: value * 2 // 5)
    with pytest.raises(RefusedError, match="its opacity ranges from 0 to 102"):
        read(layer((255, 0, 0), faint), tmp_path, "opaque")
