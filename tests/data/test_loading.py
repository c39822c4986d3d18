"""Files that Pillow alone would read with wrong pixels."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from carafe_jax.data import UnreadableImageError, decode_photograph, open_image, upright

HEIGHT, WIDTH = 20, 28
ORIENTATION, PHOTOMETRIC = 0x112, 0x106


def smooth(channels, *, deep=False):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    values = np.stack([y * 9, x * 7, y + x, y * 5][:channels], -1).astype(np.uint8)
    return values.astype(np.uint16) * 257 if deep else values


def png(values, *, bits, colour_type, clear):
    """Return a PNG of 2 to 16 bits with a transparent colour."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width = values.shape[:2]
    flat = values.reshape(height, -1).astype(">u2").view(np.uint8)
    each = np.unpackbits(flat.reshape(height, -1, 2), axis=-1)[..., 16 - bits :]
    rows = np.packbits(each.reshape(height, -1), axis=-1)
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", head),
            chunk(b"tRNS", np.asarray(clear, ">u2").tobytes()),
            chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r.tobytes() for r in rows))),
            chunk(b"IEND", b""),
        ]
    )


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK", "I;16"])
def test_turned_tiffs_keep_their_pixels(tmp_path, mode, orientation):
    deep = mode == "I;16"
    channels = 1 if deep else len(mode)
    shown = smooth(channels, deep=deep)
    turns = {1: 0, 3: 2, 6: 1, 8: -1}[orientation]
    stored = np.ascontiguousarray(np.rot90(shown, turns))
    tags = ImageFileDirectory_v2()
    tags[ORIENTATION] = orientation
    pixels = stored[..., 0] if channels == 1 else stored
    image = Image.fromarray(pixels, None if deep else mode)
    image.save(tmp_path / "a.tif", tiffinfo=tags)
    with open_image(tmp_path / "a.tif") as file:
        read = np.asarray(upright(file)).reshape(shown.shape)
    np.testing.assert_array_equal(read, shown)


def test_tiff_whose_zero_is_white_is_read_correctly(tmp_path):
    grey = smooth(1, deep=True)[..., 0]
    Image.fromarray(65535 - grey).save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    entry = struct.pack("<HHIHH", PHOTOMETRIC, 3, 1, 1, 0)
    assert entry in content
    white_is_zero = struct.pack("<HHIHH", PHOTOMETRIC, 3, 1, 0, 0)
    (tmp_path / "a.tif").write_bytes(content.replace(entry, white_is_zero))
    with open_image(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(np.asarray(upright(file)), grey)
    seen = decode_photograph(tmp_path / "a.tif")
    np.testing.assert_array_equal(seen[..., 1], grey // 257)


@pytest.mark.parametrize(
    ("bits", "channels"), [(1, 1), (2, 1), (4, 1), (8, 1), (16, 1), (8, 3), (16, 3)]
)
def test_transparent_colour_of_a_png_is_laid_on_white_at_every_depth(
    tmp_path, bits, channels
):
    most = 2**bits - 1
    values = np.round(smooth(channels) / 255 * most).astype(np.uint16)
    clear = values[3, 5]
    kind = {1: 0, 3: 2}[channels]
    content = png(values, bits=bits, colour_type=kind, clear=clear)
    (tmp_path / "a.png").write_bytes(content)
    is_clear = np.all(values == clear, -1, keepdims=True)
    expected = np.where(is_clear, 255, values / most * 255)
    assert 0 < is_clear.mean() < 1
    # A value of 16 bits loses its lower byte, in one of two ways.
    np.testing.assert_allclose(
        decode_photograph(tmp_path / "a.png"),
        np.broadcast_to(expected, (HEIGHT, WIDTH, 3)),
        atol=0 if bits < 16 else 1,
    )


def test_planes_of_16_bits_are_unreadable(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    planes = np.moveaxis(smooth(3, deep=True), -1, 0)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(UnreadableImageError, match="in separate planes"):
        decode_photograph(path)
    tifffile.imwrite(
        path, planes, photometric="rgb", planarconfig="separate", compression="zlib"
    )
    np.testing.assert_array_equal(decode_photograph(path), smooth(3))


@pytest.mark.parametrize("values", [[[-5, 9]], [[0, 65536]]])
def test_grey_values_without_a_known_range_are_unreadable(tmp_path, values):
    Image.fromarray(np.array(values, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match=r"outside \[0, 65535\]"):
        decode_photograph(tmp_path / "a.tif")
