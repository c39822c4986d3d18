"""Lossless reading of photographs, and writing of PNG files."""

import dataclasses
import pathlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from carafe_jax.data import open_image, upright
from carafe_jax.data.decoding import decoder_errors
from carafe_jax.data.loading import raw_mode_of
from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.tasks.inpainting.deep_colours import (
    DEEP_COLOURS,
    SAVE_AS_PNG,
    bits_of,
    encode_16_bits,
    read_16_bits,
)
from carafe_jax.tasks.opencv import require_opencv

# Mode that holds the same values in a PNG, by the mode that Pillow reads.
_KEPT = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "P": "RGB",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
}
_COLOUR_CHUNKS = (b"cHRM", b"cICP", b"gAMA", b"sRGB")


@dataclasses.dataclass(frozen=True)
class PhotographFile:
    """Pixels and colour metadata of a file."""

    pixels: np.ndarray
    """Upright pixels of shape (h, w, c), uint8 or uint16; c is 1 (grey), 2 (grey,
    alpha), 3 (RGB) or 4 (RGBA)."""
    colour_profile: bytes | None
    """ICC profile of the colours."""
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Types and contents of the chunks of a PNG, other than a profile, that define its
    colour space, such as its gamma."""


def read_photograph(path: pathlib.Path) -> PhotographFile:
    """Read a photograph with all its channels, at its full bit depth.

    Args:
      path: File that Pillow reads. Colours with 16 bits per channel, and grey with
        alpha of 16 bits, need OpenCV for reading or writing.

    Raises:
      UnreadableImageError: The file cannot be read.
      RefusedError: It holds several images, or pixels that a PNG cannot hold
        losslessly.
      MissingExtraError: OpenCV is needed and not installed.
    """
    with open_image(path) as file:
        check_single_image(file)
        # Before decoding, which drops both.
        bits, raw_mode = bits_of(file, path), raw_mode_of(file)
        _check_lossless(file, bits=bits, raw_mode=raw_mode)
        image = upright(file)
        profile = image.info.get("icc_profile")
        chunks = _colour_chunks(file, path)
        if image.mode.startswith("I"):
            pixels = _grey_of_16_bits(image)
        else:
            pixels = _of_8_bits(image)
            if bits == 16:
                pixels = read_16_bits(path, file, narrow=pixels)
            if raw_mode.startswith("LA"):
                # Pillow reads 16-bit grey with alpha as RGBA.
                pixels = pixels[..., [0, -1]]
    if pixels.dtype == np.uint16 and pixels.shape[-1] > 1:
        # Pillow reads 16-bit grey with a transparent value, but cannot write it.
        require_opencv(DEEP_COLOURS)
    return PhotographFile(np.ascontiguousarray(pixels), profile, chunks)


def write_photograph(path: pathlib.Path, photograph: PhotographFile) -> None:
    """Write a PNG file with its colour profile, atomically.

    16-bit grey with alpha becomes RGBA of three equal channels.

    Raises:
      MissingExtraError: It has several channels of 16 bits, and OpenCV is not
        installed.
    """
    pixels, profile = photograph.pixels, photograph.colour_profile
    chunks, channels = photograph.colour_chunks, pixels.shape[-1]
    with write_atomically(path) as partial:
        if pixels.dtype == np.uint8 or channels == 1:
            array = pixels[..., 0] if channels == 1 else pixels
            image, info = Image.fromarray(array), PngInfo()
            for kind, content in chunks:
                info.add(kind, content)
            image.save(partial, format="png", icc_profile=profile, pnginfo=info)
        else:
            if channels == 2:
                pixels = pixels[..., [0, 0, 0, 1]]
            partial.write_bytes(encode_16_bits(pixels, profile, chunks))


def _colour_chunks(
    file: Image.Image, path: pathlib.Path
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the chunks before the image data of a PNG that define its colour space."""
    if not isinstance(file, PngImageFile):
        return ()
    content, place = path.read_bytes(), 8
    found: list[tuple[bytes, bytes]] = []
    while place < len(content) and (kind := content[place + 4 : place + 8]) != b"IDAT":
        end = place + 8 + int.from_bytes(content[place : place + 4])
        if kind in _COLOUR_CHUNKS:
            found.append((kind, content[place + 8 : end]))
        place = end + 4
    return tuple(found)


def check_single_image(file: Image.Image) -> None:
    """Raise if a file holds several images, such as an animation.

    A photograph with previews (MPO) passes: the first image is the photograph.
    """
    # Counting reads beyond the first image, where a file may be damaged.
    with decoder_errors(getattr(file, "filename", "")):
        count = getattr(file, "n_frames", 1)
    if count > 1 and file.format != "MPO":
        raise RefusedError(
            f"the file must hold one image, got {count} in a {file.format}: save the "
            "one to use as a separate file"
        )


def _check_lossless(file: Image.Image, *, bits: int, raw_mode: str) -> None:
    """Raise if a PNG cannot hold the pixels losslessly."""
    kept = file.mode in _KEPT or file.mode == "I" or file.mode.startswith("I;16")
    if not kept:
        raise RefusedError(
            f"its colours ({file.mode}) cannot be kept losslessly in a PNG: "
            f"{SAVE_AS_PNG}"
        )
    if raw_mode.startswith(("RGBa", "La")):
        raise RefusedError(
            f"its premultiplied alpha cannot be kept losslessly in a PNG: {SAVE_AS_PNG}"
        )
    if bits not in (1, 2, 4, 8, 16):
        raise RefusedError(f"its {bits} bits per channel cannot be kept: {SAVE_AS_PNG}")


def _grey_of_16_bits(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise RefusedError(
            f"its grey values must lie in [0, 65535], got {values.min()} to "
            f"{values.max()}: {SAVE_AS_PNG}"
        )
    grey = values.astype(np.uint16)
    clear = image.info.get("transparency")
    if clear is None:
        return grey[..., None]
    return np.stack([grey, np.where(grey == clear, 0, 65535).astype(np.uint16)], -1)


def _of_8_bits(image: Image.Image) -> np.ndarray:
    mode = _KEPT[image.mode]
    if image.has_transparency_data:
        mode = "LA" if mode.startswith("L") else "RGBA"
    pixels = np.asarray(image.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels
