"""Pixels of image files as the files mean them, where Pillow reads others."""

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
# What one step of a grey value with 2 or 4 bits is among 256.
_STEPS = {"L;2": 85, "L;4": 17}


def raw_mode_of(file: Image.Image) -> str:
    """Return the layout of the pixels in the file, in Pillow's words: "RGB;16B".

    Args:
      file: As opened by Pillow, not yet decoded.
    """
    tiles: Any = getattr(file, "tile", ())  # Of images in files alone.
    match tiles[0].args if tiles else None:
        case str(mode) | (str(mode), *_):
            return mode
        case _:
            return ""


def load_pixels(file: Image.Image) -> Image.Image:
    """Decode a file, and put right what Pillow leaves wrong.

    - A TIFF that is turned and not compressed is read in its own width, not in that of
      the turned picture.
    - In a TIFF of 16 bits whose zero is white, white becomes the largest number.
    - The transparent colour of a PNG with 2, 4 or 16 bits has the depth of the pixels
      that Pillow returns: 8 bits, but for grey of 16.

    Args:
      file: As opened by Pillow. One that is decoded is returned as it is.

    Returns:
      The decoded image; the file itself where its pixels are right.

    Raises:
      ValueError: Channels of 16 bits, not compressed, are in planes of their own, of
        which Pillow reads one byte in two.
      Exception: Whatever the decoder raises.
    """
    raw_mode = raw_mode_of(file)
    if not raw_mode:
        file.load()
        return file
    # Decoding forgets both.
    white_is_zero = _is_white_zero(file)
    _refuse_planes(file)
    with _not_mapped(file):
        file.load()
    clear = file.info.get("transparency")
    if isinstance(clear, int) and raw_mode in _STEPS:
        file.info["transparency"] = clear * _STEPS[raw_mode]
    elif isinstance(clear, tuple) and raw_mode == "RGB;16B":
        file.info["transparency"] = tuple(value >> 8 for value in clear)
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


def _refuse_planes(file: Image.Image) -> None:
    if (
        isinstance(file, TiffImageFile)
        and file.tag_v2.get(PLANAR_CONFIGURATION) == _SEPARATE_PLANES
        and max(file.tag_v2.get(BITSPERSAMPLE, (1,))) > 8
        and len(file.getbands()) > 1
        and file.tile[0][0] == "raw"
    ):
        raise ValueError("16 bits a channel in separate planes, not compressed")


@contextlib.contextmanager
def _not_mapped(file: Image.Image) -> Iterator[None]:
    """Keep Pillow from mapping a TIFF into memory, by the size that it is turned to."""
    if not isinstance(file, TiffImageFile):
        yield
        return
    name, file.filename = file.filename, ""
    try:
        yield
    finally:
        file.filename = name
