"""Reads photographs as their files hold them, and writes them as PNG files."""

import dataclasses
import importlib
import pathlib
import re
from typing import Any

import numpy as np
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile

from carafe_jax.data import open_image, upright
from carafe_jax.data.decoding import decoder_errors
from carafe_jax.errors import MissingExtraError, RefusedError
from carafe_jax.files import write_whole

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
_SAVE_AS_PNG = "save it as a PNG in RGB or grey, of 8 or 16 bits a channel, first"


@dataclasses.dataclass(frozen=True)
class PhotographFile:
    """What is kept of a file."""

    pixels: np.ndarray
    """Upright, of shape (h, w, c), uint8 or uint16; c is 1 (grey), 2 (grey, alpha), 3
    (RGB) or 4 (RGBA)."""
    colour_profile: bytes | None
    """ICC profile that says what the numbers mean."""


def read_photograph(path: pathlib.Path) -> PhotographFile:
    """Read every pixel of a photograph, in all its channels and bits.

    Args:
      path: File that Pillow reads. Colours with 16 bits a channel need OpenCV.

    Raises:
      RefusedError: The file holds several pictures, or pixels that a PNG cannot hold
        as they are.
      MissingExtraError: OpenCV is needed and not installed.
      OSError, ValueError: (or another of `carafe_jax.data.UNREADABLE`) The file cannot
        be read.
    """
    with open_image(path) as file:
        refuse_several(file)
        # Decoding forgets both.
        bits, raw_mode = _bits(file, path), _raw_mode(file)
        _refuse_what_is_lost(file, bits=bits, raw_mode=raw_mode)
        image = upright(file)
        profile = image.info.get("icc_profile")
        if image.mode.startswith("I"):
            pixels = _grey_of_16_bits(image)
        else:
            pixels = _of_8_bits(image)
            if bits == 16:
                pixels = _colours_of_16_bits(path, file, narrow=pixels)
            if raw_mode.startswith("LA"):
                # Pillow reads grey with alpha as RGBA where it has 16 bits.
                pixels = pixels[..., [0, -1]]
    return PhotographFile(np.ascontiguousarray(pixels), profile)


def write_photograph(path: pathlib.Path, photograph: PhotographFile) -> None:
    """Write a PNG file, with its colour profile; whole or not at all.

    Sixteen bits of grey with alpha become RGBA of equal channels.

    Raises:
      MissingExtraError: It has colours with 16 bits a channel, and OpenCV is not
        installed.
    """
    pixels, profile = photograph.pixels, photograph.colour_profile
    channels = pixels.shape[-1]
    with write_whole(path) as partial:
        if pixels.dtype == np.uint8 or channels == 1:
            array = pixels[..., 0] if channels == 1 else pixels
            image = Image.fromarray(array)
            image.save(partial, format="png", icc_profile=profile)
        else:
            if channels == 2:
                pixels = pixels[..., [0, 0, 0, 1]]
            partial.write_bytes(_encode_16_bits(pixels, profile))


def refuse_several(file: Image.Image) -> None:
    """Refuse a file of several pictures, such as an animation.

    A photograph beside its previews (MPO) passes: the first is the photograph.
    """
    count = getattr(file, "n_frames", 1)
    if count > 1 and file.format != "MPO":
        raise RefusedError(
            f"the file must hold one picture, got {count} in a {file.format}: save the "
            "one that is meant as a file of its own"
        )


def _refuse_what_is_lost(file: Image.Image, *, bits: int, raw_mode: str) -> None:
    """Refuse pixels that cannot come out as they were."""
    kept = file.mode in _KEPT or file.mode == "I" or file.mode.startswith("I;16")
    if not kept:
        raise RefusedError(
            f"its colours ({file.mode}) cannot be kept to the bit in a PNG: "
            f"{_SAVE_AS_PNG}"
        )
    if raw_mode.startswith(("RGBa", "La")):
        raise RefusedError(
            "its colours, which are multiplied by their alpha, cannot be kept to the "
            f"bit in a PNG: {_SAVE_AS_PNG}"
        )
    if bits not in (1, 2, 4, 8, 16):
        raise RefusedError(f"its {bits} bits a channel cannot be kept: {_SAVE_AS_PNG}")


def _raw_mode(file: Image.Image) -> str:
    """Return the layout of the pixels in the file, in Pillow's words: "RGB;16B"."""
    tiles: Any = getattr(file, "tile", ())  # Of images in files alone.
    match tiles[0].args if tiles else None:
        case str(mode) | (str(mode), *_):
            return mode
        case _:
            return ""


def _bits(file: Image.Image, path: pathlib.Path) -> int:
    """Return the bits a channel that a file holds, more than Pillow reads maybe."""
    with decoder_errors(path):
        if isinstance(file, TiffImageFile):
            return max(file.tag_v2.get(BITSPERSAMPLE, (1,)))
        if isinstance(file, PpmImageFile):
            arguments = file.tile[0].args
            greatest = arguments[1] if isinstance(arguments, tuple) else 255
            return 16 if isinstance(greatest, int) and greatest > 255 else 8
        if isinstance(file, Jpeg2KImageFile):
            return _bits_of_jpeg_2000(path.read_bytes())
        if isinstance(file, AvifImageFile):
            return _bits_of_avif(path.read_bytes())
        found = re.search(r";(\d+)", _raw_mode(file))
        return int(found[1]) if found else 8


def _bits_of_jpeg_2000(content: bytes) -> int:
    """Read the depth from the header box, or from the codestream's SIZ segment."""
    box = content.find(b"ihdr")
    depth = content[box + 14] if box >= 0 else content[content.find(b"\xff\x51") + 40]
    return (depth & 0x7F) + 1


def _bits_of_avif(content: bytes) -> int:
    """Read the depth from the configuration of the codec."""
    box = content.find(b"av1C")
    flags = content[box + 6] if box >= 0 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def _grey_of_16_bits(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise RefusedError(
            f"its grey values must lie in [0, 65535], got {values.min()} to "
            f"{values.max()}: {_SAVE_AS_PNG}"
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


def _colours_of_16_bits(
    path: pathlib.Path, file: Image.Image, *, narrow: np.ndarray
) -> np.ndarray:
    """Read by OpenCV what Pillow reduces to 8 bits."""
    cv2 = _opencv()
    with decoder_errors(path):
        # By bytes: OpenCV takes no name that is no UTF-8.
        content = np.frombuffer(path.read_bytes(), np.uint8)
        read = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
    if read is not None and read.dtype == np.uint16 and read.ndim == 3:
        wide = _turned(read[..., [2, 1, 0, 3][: read.shape[-1]]], file)
        # OpenCV mistakes some layouts of a TIFF.
        if _agree(wide, narrow):
            return wide
    raise RefusedError(
        f"its 16 bits a channel cannot be read from this {file.format}: {_SAVE_AS_PNG}"
    )


def _turned(array: np.ndarray, file: Image.Image) -> np.ndarray:
    """Turn pixels as the orientation of a file says."""
    height, width, channels = array.shape
    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    places = Image.fromarray(pixels)
    places.info = dict(file.info)
    return array.reshape(-1, channels)[np.asarray(upright(places))]


def _agree(wide: np.ndarray, narrow: np.ndarray) -> bool:
    """Return whether two readings are of the same colours, but for their depth."""
    if wide.shape[:2] != narrow.shape[:2]:
        return False
    return bool(np.all(np.abs(wide[..., :3] / 257 - narrow[..., :3]) <= 1))


def _encode_16_bits(pixels: np.ndarray, profile: bytes | None) -> bytes:
    cv2 = _opencv()
    order = [2, 1, 0, 3][: pixels.shape[-1]]
    array = np.ascontiguousarray(pixels[..., order])
    kinds, contents = [], []
    if profile:
        kinds = [cv2.IMAGE_METADATA_ICCP]
        contents = [np.frombuffer(profile, np.uint8)]
    done, encoded = cv2.imencodeWithMetadata(".png", array, kinds, contents)
    assert done
    return encoded.tobytes()


def _opencv() -> Any:
    try:
        return importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "colours with 16 bits a channel need OpenCV: "
            "pip install 'carafe-jax[opencv]'"
        ) from error
