import pathlib

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data.decoding import UnreadableImageError, decode_photograph

RED, WHITE = (255, 0, 0), (255, 255, 255)


def save(image: Image.Image, path: pathlib.Path, **kwargs) -> pathlib.Path:
    image.save(path, **kwargs)
    return path


def grey(value: int) -> tuple[int, int, int]:
    return (value, value, value)


def palette_with_transparency() -> Image.Image:
    image = Image.new("P", (8, 6), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.info["transparency"] = 1
    image.paste(1, (0, 0, 4, 6))
    return image


@pytest.mark.parametrize(
    ("image", "name", "colour"),
    [
        (Image.new("RGB", (8, 6), RED), "a.png", RED),
        (Image.new("L", (8, 6), 77), "a.png", grey(77)),
        (Image.new("1", (8, 6), 1), "a.png", WHITE),
        (Image.new("I;16", (8, 6), 257 * 200), "a.png", grey(200)),
        (Image.new("I", (8, 6), 257 * 200), "a.pgm", grey(200)),
        (Image.new("LA", (8, 6), (0, 0)), "a.png", WHITE),
        (Image.new("RGBA", (8, 6), (255, 0, 0, 255)), "a.png", RED),
        (Image.new("RGBA", (8, 6), (255, 0, 0, 0)), "a.png", WHITE),
        (Image.new("RGBA", (8, 6), (0, 0, 0, 51)), "a.png", grey(204)),
        (Image.new("CMYK", (8, 6), (0, 255, 255, 0)), "a.tif", RED),
        (Image.new("YCbCr", (8, 6), (100, 128, 128)), "a.tif", grey(100)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_every_kind_of_image_becomes_rgb(tmp_path, image, name, colour):
    photograph = decode_photograph(save(image, tmp_path / name))
    expected = np.broadcast_to(np.array(colour, np.uint8), (6, 8, 3))
    np.testing.assert_array_equal(photograph, expected, strict=True)


def test_cmyk_jpeg_keeps_its_colour(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    photograph = decode_photograph(save(image, tmp_path / "a.jpg", quality=95))
    # Lossy compression.
    np.testing.assert_allclose(photograph[8, 8], RED, atol=4)


def test_transparent_palette_colour_is_laid_on_white(tmp_path):
    path = save(palette_with_transparency(), tmp_path / "a.png", transparency=1)
    photograph = decode_photograph(path)
    np.testing.assert_array_equal(photograph[:, :4], np.full((6, 4, 3), 255))
    np.testing.assert_array_equal(photograph[:, 4:, 1:], 0)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize(("sufficient", "smallest"), [(None, 90), (40, 40), (89, 89)])
def test_reduced_photograph_keeps_a_sufficient_side(
    tmp_path, name, sufficient, smallest
):
    path = save(Image.new("RGB", (130, 90), RED), tmp_path / name)
    photograph = decode_photograph(path, sufficient_side=sufficient)
    assert min(photograph.shape[:2]) >= smallest
    if sufficient is not None:
        assert min(photograph.shape[:2]) < 2 * sufficient


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_reduction_keeps_the_picture(tmp_path, name):
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    picture = np.broadcast_to(ramp[None, :, None], (320, 640, 3)).copy()
    path = save(Image.fromarray(picture), tmp_path / name)
    photograph = decode_photograph(path, sufficient_side=40)
    assert photograph.shape == (40, 80, 3)
    # Lossy compression, and half a step of rounding.
    np.testing.assert_allclose(photograph, picture[4::8, 4::8], atol=3)


def test_floating_point_pixels_are_refused(tmp_path):
    path = save(Image.new("F", (8, 6), 0.5), tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match="no known range"):
        decode_photograph(path)
