"""Decoding of image files of any format to 8-bit RGB arrays.

A decoder may raise any exception on a damaged file: Pillow's raise OSError,
SyntaxError, TypeError, RuntimeError, struct.error and more. Around calls of a decoder,
and only there, all of these become `UnreadableImageError`.
"""

import contextlib
import io
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from carafe_jax.data.loading import load_pixels
from carafe_jax.errors import RefusedError

_ORIENTATION = 0x0112  # The EXIF tag.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(RefusedError):
    """An image file is damaged, not an image, or not supported."""

    def __init__(self, reason: str, name: str = "") -> None:
        """Store the reason, and the name of the file if it is known."""
        super().__init__(f"cannot read {name!r}: {reason}" if name else reason)
        self.reason = reason
        """Reason why the image cannot be read, without its name."""
        self.name = name
        """File of the image, or an empty string."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.name), self.__dict__


@contextlib.contextmanager
def decoder_errors(name: str | os.PathLike[str] = "") -> Iterator[None]:
    """Convert any exception of a decoder in the block to `UnreadableImageError`.

    Args:
      name: File of the image, if it is known.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except Exception as error:
        raise UnreadableImageError(_reason(error), os.fspath(name)) from error


def open_image(file: str | os.PathLike[str] | bytes, *, name: str = "") -> Image.Image:
    """Open an image file; its pixels are not decoded.

    Args:
      file: Path of a regular file in a format that Pillow reads, or the bytes of one.
      name: Name of the bytes, for errors.

    Returns:
      The image; of several frames, the first.

    Raises:
      UnreadableImageError: The file cannot be opened, is not a regular file (a pipe
        would block), is not an image or is damaged.
    """
    if isinstance(file, bytes):
        with decoder_errors(name):
            return Image.open(io.BytesIO(file))
    with decoder_errors(file):
        if not stat.S_ISREG(os.stat(file).st_mode):
            raise OSError("not a regular file")
        return Image.open(file)


def decode_photograph(
    path: pathlib.Path, *, sufficient_side: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file, upright, as 8-bit RGB.

    Args:
      path: File in a format that Pillow reads; of several frames, the first is used.
      sufficient_side: Sufficient length of the shorter side in pixels. Larger images
        are reduced by an integer factor, JPEGs during decoding (which is faster), and
        never below this length. None keeps every pixel.

    Returns:
      RGB in [0, 255].

    Raises:
      UnreadableImageError: The file is not an image, is damaged, or has pixels without
        a known range.
    """
    with open_image(path) as image:
        return decode_image(image, sufficient_side=sufficient_side)


def decode_image(
    image: Image.Image, *, sufficient_side: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image that Pillow has opened, as `decode_photograph` does.

    Args:
      image: Image opened by Pillow, not yet decoded.
      sufficient_side: Sufficient length of the shorter side, as in `decode_photograph`.

    Returns:
      RGB in [0, 255].

    Raises:
      UnreadableImageError: The image is unreadable, as in `decode_photograph`.
    """
    if sufficient_side is not None:
        shrink_on_load(image, (sufficient_side, sufficient_side))
    return np.array(reduce_to(to_rgb(upright(image)), sufficient_side))


def shrink_on_load(image: Image.Image, size: tuple[int, int]) -> None:
    """Set a JPEG to decode at its smallest scale that is at least of a given size.

    Args:
      image: Image opened by Pillow, not yet decoded.
      size: Least width and height, in pixels of the file, not of the upright image.

    Raises:
      UnreadableImageError: The decoder rejects the file.
    """
    with decoder_errors(_name(image)):
        image.draft(None, size)


def upright(image: Image.Image) -> Image.Image:
    """Decode an image and apply its EXIF orientation.

    The metadata are not changed. A damaged orientation counts as upright.

    Args:
      image: Image opened by Pillow, in any mode.

    Returns:
      The decoded image in the same mode.

    Raises:
      UnreadableImageError: The file is damaged.
    """
    with decoder_errors(_name(image)):
        pixels = load_pixels(image)
        method = _TRANSPOSES.get(_orientation(image))
        return pixels if method is None else pixels.transpose(method)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height of an image in its upright orientation.

    Args:
      image: Image opened by Pillow. A JPEG is not decoded.

    Raises:
      UnreadableImageError: The file is damaged.
    """
    with decoder_errors(_name(image)):
        turned = _orientation(image) >= 5
        width, height = image.size
    return (height, width) if turned else (width, height)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow image to mode RGB.

    Sixteen-bit grey values are scaled to 8 bits; transparent pixels are composited on
    white.

    Args:
      image: Image of any mode whose values have a known range.

    Returns:
      The same image in mode RGB.

    Raises:
      UnreadableImageError: The pixels are floating-point numbers or grey values outside
        [0, 65535], Pillow has no conversion, or the file is damaged.
    """
    with decoder_errors(_name(image)):
        if not image.has_transparency_data:
            return _to_8_bits(image).convert("RGB")
        image = to_rgba(image)
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")


def to_rgba(image: Image.Image) -> Image.Image:
    """Convert any Pillow image to mode RGBA, with its transparency.

    Arguments and errors are those of `to_rgb`.
    """
    with decoder_errors(_name(image)):
        transparent = image.info.get("transparency")
        if not image.mode.startswith("I") or transparent is None:
            return _to_8_bits(image).convert("RGBA")
        # The transparent value has 16 bits; `convert` would compare it with 8-bit ones.
        opacity = np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8)
        image = _to_8_bits(image).convert("RGBA")
        image.putalpha(Image.fromarray(opacity))
        return image


def _to_8_bits(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not image.mode.startswith("I"):
        return image
    # Pillow would clip these values at 255. 16-bit PGM files have mode "I".
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(
            f"grey values from {values.min()} to {values.max()}, outside [0, 65535], "
            "have no known range"
        )
    return Image.fromarray((values // 257).astype(np.uint8))


def reduce_to(image: Image.Image, sufficient_side: int | None) -> Image.Image:
    """Shrink by the largest integer factor that keeps the shorter side long enough.

    Args:
      image: Image in mode RGB.
      sufficient_side: Sufficient length of the shorter side, as in `decode_photograph`.

    Returns:
      Means over blocks of pixels, or the image itself if it is small enough.
    """
    if sufficient_side is None:
        return image
    factor = min(image.size) // sufficient_side
    return image.reduce(factor) if factor > 1 else image


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is missing or damaged."""
    if not isinstance(image, JpegImageFile):
        # A PNG may have metadata after its pixels, and Pillow itself rotates a TIFF.
        load_pixels(image)
    # After an error, a second call of Pillow returns the tags that it could read.
    for _ in range(2):
        with contextlib.suppress(Exception):
            found = image.getexif().get(_ORIENTATION)
            return found if isinstance(found, int) and 1 <= found <= 8 else 1
    return 1


def _name(image: Image.Image) -> str:
    return os.fsdecode(getattr(image, "filename", ""))


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "cannot identify image file"  # Pillow repeats the path.
    words = (isinstance(error, OSError) and error.strerror) or str(error)
    if words and isinstance(error, OSError | ValueError | SyntaxError):
        return words
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
