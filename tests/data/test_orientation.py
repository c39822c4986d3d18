"""Photographs are read upright, also with unusual or damaged metadata."""

import io
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image

from carafe_jax.data import decode_box, decode_photograph, open_image, upright_size
from carafe_jax.data.transforms import Box

HEIGHT, WIDTH = 48, 64
Entry = tuple[int, int, int, bytes]
"""Tag, type, count and value of an EXIF entry."""


def picture() -> np.ndarray:
    """Return a smooth picture whose corners differ."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([y * 5, x * 4, y + x], -1).astype(np.uint8)


# To be shown as the picture, each is stored like this (EXIF 2.3, table of tag 0x0112).
STORED = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: shown[:, ::-1].transpose(1, 0, 2),
    7: lambda shown: shown[::-1, ::-1].transpose(1, 0, 2),
    8: lambda shown: shown[::-1].transpose(1, 0, 2),
}


def exif(*entries: Entry) -> bytes:
    body = b"".join(struct.pack(">HHI", *e[:3]) + e[3] for e in sorted(entries))
    directory = struct.pack(">IH", 8, len(entries)) + body + bytes(4)
    return b"Exif\0\0MM\0*" + directory


def orientation(value: int) -> Entry:
    return (0x112, 3, 1, struct.pack(">HH", value, 0))


def save(pixels: np.ndarray, path: pathlib.Path, metadata: bytes) -> pathlib.Path:
    options = {".webp": {"lossless": True}, ".jpg": {"quality": 100}}
    kind = options.get(path.suffix, {})
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, exif=metadata, **kind)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg", "a.avif"])
@pytest.mark.parametrize("value", STORED)
def test_orientation_is_undone(tmp_path, name, value):
    shown = picture()
    path = save(STORED[value](shown), tmp_path / name, exif(orientation(value)))
    # JPEG and AVIF are lossy.
    atol = {".jpg": 6, ".avif": 24}.get(path.suffix, 0)
    np.testing.assert_allclose(
        decode_photograph(path).astype(int), shown.astype(int), atol=atol
    )
    with open_image(path) as image:
        assert upright_size(image) == (WIDTH, HEIGHT)
        box = decode_box(image, Box(0, 0, 16, 16), size=16)
    np.testing.assert_allclose(box.astype(int), shown[:16, :16].astype(int), atol=atol)


@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")  # Pillow's.
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.parametrize(
    "entry",
    {
        "resolution as text": (0x11A, 2, 4, b"abc\0"),
        "resolution as bytes": (0x11A, 7, 4, b"abcd"),
        "resolution negative": (0x11A, 9, 1, b"\xff" * 4),
        "resolution outside of the file": (0x11A, 5, 1, b"\xff" * 4),
        "width as text": (0x100, 2, 4, b"xyz\0"),
        "unknown type": (0x11B, 99, 1, b"\0" * 4),
        "directory outside of the file": (0x8769, 4, 1, b"\xff" * 4),
        "directory that is itself": (0x8825, 4, 1, b"\0\0\0\x08"),
        "private": (0xEEEE, 12, 1, b"\xff" * 4),
    }.items(),
    ids=lambda entry: entry[0].replace(" ", "_"),
)
def test_image_with_unusual_metadata_is_read_upright(tmp_path, name, entry):
    stored = STORED[6](picture())
    path = save(stored, tmp_path / name, exif(orientation(6), entry[1]))
    assert decode_photograph(path).shape == (HEIGHT, WIDTH, 3)
    with open_image(path) as image:
        assert upright_size(image) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "metadata",
    [
        b"Exif\0\0",
        b"Exif\0\0no directory",
        exif((0x112, 2, 2, b"6\0\0\0")),  # As text.
        exif((0x112, 3, 2, b"\0\6\0\6")),  # Twice.
        exif((0x112, 7, 4, b"abcd")),
        exif(orientation(0)),
        exif(orientation(9)),
        exif(orientation(6))[:20],
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
@pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")  # Pillow's.
@pytest.mark.filterwarnings("ignore:Truncated File Read:UserWarning")
def test_damaged_orientation_counts_as_upright(tmp_path, name, metadata):
    path = save(picture(), tmp_path / name, metadata)
    assert decode_photograph(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_metadata_do_not_affect_the_pixels():
    metadata = exif(
        orientation(6), (0x11A, 5, 1, b"\0\0\0\x32"), (0x8825, 4, 1, b"\0" * 4)
    )
    file = io.BytesIO()
    stored = np.ascontiguousarray(STORED[6](picture())[:16, :8])
    Image.fromarray(stored).save(file, "JPEG", exif=metadata)
    content = file.getvalue()
    start = content.index(metadata)
    for place in range(start, start + len(metadata)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[place] ^= flip
            with open_image(bytes(damaged)) as image:
                size = upright_size(image)
                box = decode_box(image, Box(0, 0, *size), size=8)
            assert size in ((8, 16), (16, 8))
            assert box.shape == (8, 8, 3)
