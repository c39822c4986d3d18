"""Photograph files of every kind are written back unchanged, or refused by name."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.tasks.inpainting.photograph_files import (
    PhotographFile,
    read_photograph,
    write_photograph,
)

HEIGHT, WIDTH = 12, 16
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
TURNS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def drawn(dtype, channels):
    rng = np.random.default_rng(channels)
    most = np.iinfo(dtype).max
    return rng.integers(0, most + 1, (HEIGHT, WIDTH, channels)).astype(dtype)


def deep_png(values, *chunks):
    """Return a PNG of 16 bits a channel."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    pieces = ((b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, pieces))


def chunk(piece):
    kind, data = piece
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def depth_and_colour_type(path):
    data = path.read_bytes()
    return data[24], data[25]


def read_bytes(tmp_path, content, name="photo.png"):
    (tmp_path / name).write_bytes(content)
    return read_photograph(tmp_path / name)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_and_profile_of_a_png_are_unchanged(tmp_path, dtype, channels):
    pixels, given = drawn(dtype, channels), tmp_path / "given.png"
    if dtype == np.uint8:
        array = pixels[..., 0] if channels == 1 else pixels
        Image.fromarray(array).save(given, icc_profile=profile())
    else:
        packed = b"sRGB\0\0" + zlib.compress(profile())
        given.write_bytes(deep_png(pixels, (b"iCCP", packed)))
    photo = read_photograph(given)
    np.testing.assert_array_equal(photo.pixels, pixels)
    assert photo.pixels.dtype == dtype
    write_photograph(tmp_path / "out.png", photo)
    again = read_photograph(tmp_path / "out.png")
    assert photo.colour_profile == again.colour_profile == profile()
    if (dtype, channels) == (np.uint16, 2):
        # No installed writer supports grey with alpha in 16 bits: RGBA with three equal
        # channels has the same values.
        np.testing.assert_array_equal(again.pixels, pixels[..., [0, 0, 0, 1]])
    else:
        np.testing.assert_array_equal(again.pixels, pixels)
        out = depth_and_colour_type(tmp_path / "out.png")
        assert out == depth_and_colour_type(given)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("ending", "deep"),
    [("png", False), ("png", True), ("tif", False), ("tif", True), ("webp", False)],
)
def test_photographs_are_turned_upright_once(tmp_path, orientation, deep, ending):
    pixels, path = drawn(np.uint16 if deep else np.uint8, 3), tmp_path / f"x.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    if ending == "tif":
        tifffile = pytest.importorskip("tifffile")
        tag = (0x0112, 3, 1, orientation, True)
        tifffile.imwrite(path, pixels, photometric="rgb", extratags=[tag])
    elif deep:
        data = exif.tobytes().removeprefix(b"Exif\0\0")
        path.write_bytes(deep_png(pixels, (b"eXIf", data)))
    else:
        Image.fromarray(pixels).save(path, exif=exif, lossless=True)
    photo = read_photograph(path)
    np.testing.assert_array_equal(photo.pixels, TURNS[orientation](pixels))
    write_photograph(tmp_path / "out.png", photo)
    with Image.open(tmp_path / "out.png") as out:
        assert 0x0112 not in out.getexif()
    again = read_photograph(tmp_path / "out.png")
    np.testing.assert_array_equal(again.pixels, photo.pixels)


def test_colours_of_a_palette_and_their_transparency_are_kept(tmp_path):
    palette = Image.new("P", (4, 4))
    palette.putdata(range(16))
    colours = np.random.default_rng(0).integers(0, 256, (16, 3), dtype=np.uint8)
    palette.putpalette(colours.tobytes())
    palette.save(tmp_path / "plain.png")
    pixels = read_photograph(tmp_path / "plain.png").pixels
    np.testing.assert_array_equal(pixels, colours.reshape(4, 4, 3))
    palette.save(tmp_path / "clear.png", transparency=bytes(range(0, 160, 10)))
    pixels = read_photograph(tmp_path / "clear.png").pixels
    np.testing.assert_array_equal(pixels[..., :3], colours.reshape(4, 4, 3))
    np.testing.assert_array_equal(pixels[..., 3].ravel(), np.arange(0, 160, 10))


def test_transparent_colour_becomes_alpha(tmp_path):
    pixels = drawn(np.uint16, 3)
    key = (b"tRNS", pixels[2, 3].astype(">u2").tobytes())
    photo = read_bytes(tmp_path, deep_png(pixels, key)).pixels
    np.testing.assert_array_equal(photo[..., :3], pixels)
    assert np.argwhere(photo[..., 3] == 0).tolist() == [[2, 3]]
    grey = drawn(np.uint16, 1)
    key = (b"tRNS", grey[2, 3].astype(">u2").tobytes())
    photo = read_bytes(tmp_path, deep_png(grey, key)).pixels
    np.testing.assert_array_equal(photo[..., :1], grey)
    assert np.argwhere(photo[..., 1] == 0).tolist() == [[2, 3]]


def test_pictures_of_one_bit_become_grey(tmp_path):
    bits = drawn(np.uint8, 1)[..., 0] > 127
    Image.fromarray(bits).save(tmp_path / "bits.png")
    pixels = read_photograph(tmp_path / "bits.png").pixels
    np.testing.assert_array_equal(pixels[..., 0], 255 * bits.astype(np.uint8))


def test_jpegs_are_read_with_their_profile(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(drawn(np.uint8, 3)).save(path, icc_profile=profile())
    photo = read_photograph(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(photo.pixels, np.asarray(image))
    assert photo.colour_profile == profile()


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def cmyk():
    return saved(Image.new("CMYK", (9, 9)), "jpeg")


def lab():
    return saved(Image.new("LAB", (9, 9)), "tiff")


def floats():
    return saved(Image.new("F", (9, 9)), "tiff")


def long_integers():
    return saved(Image.fromarray(np.full((9, 9), 70_000, np.int32)), "tiff")


def animation():
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    return saved(frames[0], "png", save_all=True, append_images=frames[1:])


def pages():
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    return saved(frames[0], "tiff", save_all=True, append_images=frames[1:])


def planes_of_16_bits():
    tifffile = pytest.importorskip("tifffile")
    buffer = io.BytesIO()
    planes = np.moveaxis(drawn(np.uint16, 3), -1, 0)
    tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig="separate")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cmyk, r"its colours \(CMYK\) cannot be kept losslessly in a PNG: save it"),
        (lab, r"its colours \(LAB\) cannot be kept"),
        (floats, r"its colours \(F\) cannot be kept"),
        (long_integers, r"its 32 bits per channel cannot be kept"),
        (animation, "must hold one image, got 2 in a PNG"),
        (pages, "must hold one image, got 2 in a TIFF"),
        (planes_of_16_bits, "16 bits a channel in separate planes"),
    ],
)
def test_photograph_that_a_png_cannot_hold_is_refused(tmp_path, make, message):
    with pytest.raises(RefusedError, match=message):
        read_bytes(tmp_path, make(), "photo.tif")


@pytest.mark.parametrize(("bits", "box"), [(8, b"\x00"), (10, b"\x40"), (12, b"\x60")])
def test_an_avif_of_more_than_8_bits_is_refused(tmp_path, bits, box):
    if "AVIF" not in Image.SAVE:
        pytest.skip("This Pillow has no AVIF.")
    content = bytearray(saved(Image.new("RGB", (9, 9), "red"), "avif"))
    place = content.index(b"av1C") + 6
    content[place] = content[place] & 0x9F | box[0]
    place = content.index(b"pixi") + 9
    content[place : place + 3] = bytes([bits] * 3)
    if bits == 8:
        assert read_bytes(tmp_path, content, "photo.avif").pixels.dtype == np.uint8
    else:
        with pytest.raises(RefusedError, match=f"its {bits} bits per channel cannot"):
            read_bytes(tmp_path, content, "photo.avif")


@pytest.mark.parametrize("no_jp2", [False, True])
@pytest.mark.parametrize("bits", [8, 12])
def test_a_jpeg_2000_of_more_than_8_bits_is_refused(tmp_path, bits, no_jp2):
    image = Image.new("RGB", (9, 9), "red")
    content = bytearray(saved(image, "jpeg2000", no_jp2=no_jp2))
    # The depth in the header box, or that of the first channel in the codestream.
    mark, offset = (b"\xff\x51", 40) if no_jp2 else (b"ihdr", 14)
    content[content.index(mark) + offset] = bits - 1
    if bits == 8:
        assert read_bytes(tmp_path, content, "photo.jp2").pixels.dtype == np.uint8
    else:
        with pytest.raises(RefusedError, match=f"{bits} bits per channel cannot be"):
            read_bytes(tmp_path, content, "photo.jp2")


def test_colours_of_16_bits_name_the_package_that_reads_them(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"carafe-jax\[opencv\]"):
        read_bytes(tmp_path, deep_png(drawn(np.uint16, 3)))
    # Grey does not need OpenCV.
    grey = drawn(np.uint16, 1)
    read_bytes(tmp_path, deep_png(grey))
    # Grey with alpha needs OpenCV to be written, which is checked on reading.
    key = (b"tRNS", grey[2, 3].astype(">u2").tobytes())
    with pytest.raises(MissingExtraError, match=r"carafe-jax\[opencv\]"):
        read_bytes(tmp_path, deep_png(grey, key))
    photo = PhotographFile(drawn(np.uint16, 3), None)
    with pytest.raises(MissingExtraError, match=r"carafe-jax\[opencv\]"):
        write_photograph(tmp_path / "out.png", photo)
    assert not (tmp_path / "out.png").exists()


def test_names_that_are_no_utf_8_are_read(tmp_path):
    pixels = drawn(np.uint16, 3)
    photo = read_bytes(tmp_path, deep_png(pixels), "caf\udce9.png")
    np.testing.assert_array_equal(photo.pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gamma_and_primaries_of_a_png_are_kept(tmp_path, dtype, channels):
    pixels = drawn(dtype, channels)
    chunks = (
        (b"gAMA", struct.pack(">I", 100_000)),
        (b"cHRM", struct.pack(">8I", *range(30_000, 38_000, 1_000))),
    )
    if dtype == np.uint16:
        photo = read_bytes(tmp_path, deep_png(pixels, *chunks))
    else:
        info = PngImagePlugin.PngInfo()
        for kind, content in chunks:
            info.add(kind, content)
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        photo = read_bytes(tmp_path, saved(image, "png", pnginfo=info))
    write_photograph(tmp_path / "out.png", photo)
    again = read_photograph(tmp_path / "out.png")
    assert set(again.colour_chunks) == set(chunks)
    np.testing.assert_array_equal(again.pixels, pixels)


def test_text_of_a_png_is_dropped(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "mine")
    Image.fromarray(drawn(np.uint8, 3)).save(tmp_path / "photo.png", pnginfo=text)
    write_photograph(tmp_path / "out.png", read_photograph(tmp_path / "photo.png"))
    with Image.open(tmp_path / "out.png") as out:
        assert "Comment" not in out.info


def test_a_fourth_channel_that_is_no_opacity_is_left_out(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = drawn(np.uint16, 4)
    tifffile.imwrite(
        tmp_path / "photo.tif", values, photometric="rgb", extrasamples=["unspecified"]
    )
    read = read_photograph(tmp_path / "photo.tif")
    np.testing.assert_array_equal(read.pixels, values[..., :3])


def test_damage_behind_the_first_picture_makes_a_file_unreadable(tmp_path):
    content = bytearray(pages())
    first = struct.unpack_from("<I", content, 4)[0]
    entries = struct.unpack_from("<H", content, first)[0]
    second = struct.unpack_from("<I", content, first + 2 + 12 * entries)[0]
    content[second + 2 : second + 14] = bytes(
        12
    )  # Deletes the width of the second page.
    with pytest.raises(UnreadableImageError, match="Missing dimensions"):
        read_bytes(tmp_path, bytes(content), "photo.tif")
