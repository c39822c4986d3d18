"""Damaged files: every failure of a decoder is an `UnreadableImageError`."""

import io
import os
import pathlib
import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import (
    UnreadableImageError,
    decode_centre,
    decode_image,
    decode_photograph,
    open_image,
)
from carafe_jax.data.decoding import decoder_errors
from carafe_jax.errors import RefusedError

FORMATS = ["AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]


def encoded(kind: str, side: int = 8, **options) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def read(content: bytes) -> str:
    """Return "image" or "unreadable"; any other outcome raises."""
    made = []
    for decode in (
        lambda image: decode_image(image, sufficient_side=4),
        lambda image: decode_centre(image, size=4, resize_size=5),
    ):
        try:
            with open_image(content) as image:
                assert decode(image).dtype == np.uint8
            made.append("image")
        except UnreadableImageError:
            made.append("unreadable")
    assert made[0] == made[1]
    return made[0]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", FORMATS)
def test_image_with_a_damaged_byte_is_read_or_unreadable(kind, monkeypatch):
    # Decoding an image whose damaged header has a huge size would take seconds.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10**6)
    content = encoded(kind)
    found = set()
    for place in range(0, len(content), max(1, len(content) // 120)):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        found.add(read(bytes(damaged)))
    assert "unreadable" in found


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", FORMATS)
def test_cut_files_are_unreadable(kind):
    content = encoded(kind)
    assert read(content) == "image"
    for keep in np.linspace(0, len(content) // 2, 12).astype(int):
        assert read(content[:keep]) == "unreadable"


def test_warnings_that_are_errors_make_a_file_unreadable(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    content = encoded("PNG", side=8)  # 64 pixels: up to twice the limit is a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnreadableImageError, match=r"DecompressionBombWarning.*64"):
            open_image(content)
    with pytest.warns(Image.DecompressionBombWarning):
        open_image(content).close()


def test_decompression_bombs_are_unreadable(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UnreadableImageError, match=r"DecompressionBombError.*64 pix"):
        open_image(encoded("PNG"), name="bomb.png")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(13, "Permission denied", "a.png"), "Permission denied"),
        (SyntaxError("broken PNG file"), "broken PNG file"),
        (RuntimeError("Failed to decode frame 0"), "RuntimeError: Failed to decode"),
        (KeyError(3), "KeyError: 3"),
        (MemoryError(), "MemoryError"),
        (EOFError(), "EOFError"),
    ],
)
def test_error_of_a_decoder_is_the_reason(error, reason):
    with (
        pytest.raises(UnreadableImageError, match=rf"^cannot read 'a\.png': {reason}"),
        decoder_errors("a.png"),
    ):
        raise error


def test_interruption_is_no_error_of_a_decoder():
    with pytest.raises(KeyboardInterrupt), decoder_errors("a.png"):
        raise KeyboardInterrupt


def folder(path: pathlib.Path) -> None:
    path.mkdir()


def text(path: pathlib.Path) -> None:
    path.write_text("no image")


def nothing(path: pathlib.Path) -> None:
    path.touch()


def dangling(path: pathlib.Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (text, "cannot identify image file"),
        (nothing, "cannot identify image file"),
        (folder, "not a regular file"),
        (os.mkfifo, "not a regular file"),
        (dangling, "No such file or directory"),
    ],
)
def test_error_of_an_unreadable_file_has_its_name_and_the_reason(
    tmp_path, make, reason
):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(UnreadableImageError) as caught:
        decode_photograph(path)
    assert str(caught.value) == f"cannot read {str(path)!r}: {reason}"
    assert (caught.value.reason, caught.value.name) == (reason, str(path))


def test_damage_of_the_pixels_names_the_file(tmp_path):
    path = tmp_path / "caf\udce9.jpg"
    path.write_bytes(encoded("JPEG", side=64)[:1000])
    with pytest.raises(UnreadableImageError) as caught:
        decode_photograph(path)
    assert r"caf\udce9.jpg': image file is truncated" in str(caught.value)
    str(caught.value).encode()  # It can be printed.


def test_error_survives_pickling_with_its_message():
    error = UnreadableImageError("cut", "a.png")
    error.add_note("in a worker")
    copy = pickle.loads(pickle.dumps(error))
    assert issubclass(UnreadableImageError, RefusedError)
    assert type(copy) is UnreadableImageError
    assert (str(copy), copy.reason, copy.name) == (str(error), "cut", "a.png")
    assert copy.__notes__ == ["in a worker"]
