"""Decoding of image files with corrections of pixels that Pillow reads wrongly."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    TiffImageFile,
)

_WHITE_IS_ZERO = 0
_SEPARATE_PLANES = 2
GREY_STEPS = {"L;2": 85, "L;4": 17}
"""8-bit steps that Pillow takes for grey values of 2 or 4 bits, by raw mode."""


def raw_mode_of(file: Image.Image) -> str:
    """Return Pillow's raw mode of the pixels in a file, such as "RGB;16B".

    Args:
      file: Image opened by Pillow, not yet decoded.
    """
    tiles: Any = getattr(file, "tile", ())  # Only images of files have tiles.
    match tiles[0].args if tiles else None:
        case str(mode) | (str(mode), *_):
            return mode
        case _:
            return ""


def load_pixels(file: Image.Image) -> Image.Image:
    """Decode a file, and correct the pixels that Pillow reads wrongly.

    - An uncompressed TIFF with an orientation is read with its stored width, not with
      the width of the upright image.
    - In a 16-bit TIFF whose zero is white, white becomes the largest value.
    - The transparent colour of a PNG with 2, 4 or 16 bits gets the depth of the pixels
      that Pillow returns: 8 bits, except for 16-bit grey.

    Args:
      file: Image opened by Pillow. A decoded one is returned unchanged.

    Returns:
      The decoded image; `file` itself if its pixels are right.

    Raises:
      ValueError: Uncompressed 16-bit channels are in separate planes, of which Pillow
        reads every other byte.
      Exception: Any exception of the decoder.
    """
    raw_mode = raw_mode_of(file)
    if not raw_mode:
        file.load()
        return file
    # Both checks need tags that decoding discards.
    white_is_zero = _is_white_zero(file)
    _check_planes(file)
    with _without_memory_map(file):
        file.load()
    transparent = file.info.get("transparency")
    if isinstance(transparent, int) and raw_mode in GREY_STEPS:
        file.info["transparency"] = transparent * GREY_STEPS[raw_mode]
    elif isinstance(transparent, tuple) and raw_mode == "RGB;16B":
        file.info["transparency"] = tuple(value >> 8 for value in transparent)
    if white_is_zero:
        inverted = Image.fromarray(65535 - np.asarray(file).astype(np.uint16))
        inverted.info = dict(file.info)
        return inverted
    return file


def _is_white_zero(file: Image.Image) -> bool:
    """Return whether zero is white in a file whose values Pillow does not invert."""
    if not isinstance(file, TiffImageFile) or not file.mode.startswith("I;16"):
        return False
    return file.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def _check_planes(file: Image.Image) -> None:
    if (
        isinstance(file, TiffImageFile)
        and file.tag_v2.get(PLANAR_CONFIGURATION) == _SEPARATE_PLANES
        and max(file.tag_v2.get(BITSPERSAMPLE, (1,))) > 8
        and len(file.getbands()) > 1
        and file.tile[0][0] == "raw"
    ):
        raise ValueError("16 bits a channel in separate planes, not compressed")


@contextlib.contextmanager
def _without_memory_map(file: Image.Image) -> Iterator[None]:
    """Keep Pillow from memory-mapping a TIFF, for which it uses the upright size."""
    if not isinstance(file, TiffImageFile):
        yield
        return
    name, file.filename = file.filename, ""
    try:
        yield
    finally:
        file.filename = name
