"""Image files of any kind -> 8-bit RGB arrays."""

import pathlib
import struct

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from carafe_jax.errors import RefusedError

# Pillow raises these on files that are no images, are truncated or are damaged.
UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


def decode_photograph(
    path: pathlib.Path, *, sufficient_side: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image file, upright, as 8-bit RGB.

    Args:
      path: File in a format that Pillow reads; of several frames, the first is used.
      sufficient_side: Length in pixels that is enough for the shorter side. Larger
        images are reduced by a whole factor, JPEGs while they are decoded (which
        is faster), and never below this length. None keeps every pixel.

    Returns:
      RGB in [0, 255].

    Raises:
      OSError, ValueError: (or another of `UNREADABLE`) The file is damaged, or
        holds pixels without a known range.
    """
    with Image.open(path) as image:
        return decode_image(image, sufficient_side=sufficient_side)


def decode_image(
    image: Image.Image, *, sufficient_side: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image that Pillow has opened, as `decode_photograph` does.

    Args:
      image: As opened by Pillow, not yet decoded.
      sufficient_side: As in `decode_photograph`.

    Returns:
      RGB in [0, 255].

    Raises:
      OSError, ValueError: (or another of `UNREADABLE`) As by `decode_photograph`.
    """
    if sufficient_side is not None:
        image.draft(None, (sufficient_side, sufficient_side))
    upright = to_rgb(ImageOps.exif_transpose(image))
    return np.array(reduce_to(upright, sufficient_side))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any Pillow image to mode RGB.

    Sixteen-bit grey values are scaled to 8 bits, transparent pixels are composited on
    white.

    Args:
      image: Of any mode whose values have a known range.

    Returns:
      The same image in mode RGB.

    Raises:
      RefusedError: The pixels are floating-point numbers, or Pillow knows no
        conversion.
    """
    if image.mode == "F":
        raise RefusedError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        # Pillow itself would clip these at 255. Mode "I" is what 16-bit PGM files give.
        values = np.asarray(image).clip(0, 65535).astype(np.uint16)
        image = Image.fromarray((values // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def reduce_to(image: Image.Image, sufficient_side: int | None) -> Image.Image:
    """Shrink by the largest whole factor that leaves the shorter side long enough.

    Args:
      image: Of mode RGB.
      sufficient_side: As in `decode_photograph`.

    Returns:
      Means over blocks of pixels, or the image itself if it is small enough.
    """
    if sufficient_side is None:
        return image
    factor = min(image.size) // sufficient_side
    return image.reduce(factor) if factor > 1 else image
