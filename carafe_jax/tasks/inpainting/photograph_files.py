"""Reads photographs as their files hold them, and writes them as PNG files."""

import dataclasses
import pathlib

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from carafe_jax.data import open_image, upright
from carafe_jax.data.decoding import decoder_errors
from carafe_jax.data.loading import raw_mode_of
from carafe_jax.errors import RefusedError
from carafe_jax.files import write_whole
from carafe_jax.tasks.inpainting.deep_colours import (
    DEEP_COLOURS,
    SAVE_AS_PNG,
    bits_of,
    encode_16_bits,
    read_16_bits,
)
from carafe_jax.tasks.inpainting.opencv import require_opencv

# Modes of Pillow by the mode that holds the same numbers in a PNG.
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
    """Upright, of shape (h, w, c), uint8 or uint16; c is 1 (grey), 2 (grey, alpha), 3
    (RGB) or 4 (RGBA)."""
    colour_profile: bytes | None
    """ICC profile of the colours."""
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Kinds and contents of the chunks of a PNG that define its colours beside a
    profile, such as its gamma."""


def read_photograph(path: pathlib.Path) -> PhotographFile:
    """Read a photograph with all its channels and bits.

    Args:
      path: File that Pillow reads. Colours with 16 bits a channel, and grey with alpha,
        need OpenCV, to be read or to be written.

    Raises:
      UnreadableImageError: The file cannot be read.
      RefusedError: It holds several pictures, or pixels that a PNG cannot hold as they
        are.
      MissingExtraError: OpenCV is needed and not installed.
    """
    with open_image(path) as file:
        refuse_several(file)
        # Before decoding, which drops both.
        bits, raw_mode = bits_of(file, path), raw_mode_of(file)
        _refuse_what_is_lost(file, bits=bits, raw_mode=raw_mode)
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
                # Pillow reads grey with alpha as RGBA where it has 16 bits.
                pixels = pixels[..., [0, -1]]
    if pixels.dtype == np.uint16 and pixels.shape[-1] > 1:
        # To read grey that is clear in places, Pillow does; to write it, it does not.
        require_opencv(DEEP_COLOURS)
    return PhotographFile(np.ascontiguousarray(pixels), profile, chunks)


def write_photograph(path: pathlib.Path, photograph: PhotographFile) -> None:
    """Write a PNG file, with its colour profile; whole or not at all.

    Sixteen bits of grey with alpha become RGBA of equal channels.

    Raises:
      MissingExtraError: It has colours with 16 bits a channel, and OpenCV is not
        installed.
    """
    pixels, profile = photograph.pixels, photograph.colour_profile
    chunks, channels = photograph.colour_chunks, pixels.shape[-1]
    with write_whole(path) as partial:
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
    """Return the chunks before a PNG's pixels that define its colours."""
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


def refuse_several(file: Image.Image) -> None:
    """Refuse a file of several pictures, such as an animation.

    A photograph beside its previews (MPO) passes: the first is the photograph.
    """
    # It looks for the others, in files that may be damaged there.
    with decoder_errors(getattr(file, "filename", "")):
        count = getattr(file, "n_frames", 1)
    if count > 1 and file.format != "MPO":
        raise RefusedError(
            f"the file must hold one picture, got {count} in a {file.format}: save the "
            "one to use as a file of its own"
        )


def _refuse_what_is_lost(file: Image.Image, *, bits: int, raw_mode: str) -> None:
    """Refuse pixels that cannot come out as they were."""
    kept = file.mode in _KEPT or file.mode == "I" or file.mode.startswith("I;16")
    if not kept:
        raise RefusedError(
            f"its colours ({file.mode}) cannot be kept to the bit in a PNG: "
            f"{SAVE_AS_PNG}"
        )
    if raw_mode.startswith(("RGBa", "La")):
        raise RefusedError(
            "its colours, which are multiplied by their alpha, cannot be kept to the "
            f"bit in a PNG: {SAVE_AS_PNG}"
        )
    if bits not in (1, 2, 4, 8, 16):
        raise RefusedError(f"its {bits} bits a channel cannot be kept: {SAVE_AS_PNG}")


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
