"""Conversion between photographs and the 8-bit RGB that networks fill.

A photograph has one channel (grey), two (grey, alpha), three (RGB) or four (RGBA), with
8 or 16 bits each. A fill replaces the pixels of its hole; every other pixel stays
unchanged, bit for bit.
"""

import numpy as np
from jaxtyping import Bool, UInt8

from carafe_jax.errors import RefusedError, no_type_check

# Luma of ITU-R BT.601, as Pillow computes grey.
_LUMA = np.array([0.299, 0.587, 0.114])
_DEPTHS = ("uint8", "uint16")


@no_type_check
def check_photograph(photograph: np.ndarray) -> None:
    """Raise unless an array is a photograph.

    Raises:
      RefusedError: It is not an array of uint8 or uint16, of shape (h, w, c) with 1 to
        4 channels, or holds no pixel.
    """
    if not isinstance(photograph, np.ndarray):
        raise RefusedError(
            "`photograph` must be a NumPy array (`np.asarray` of an image), got "
            f"{type(photograph).__name__}."
        )
    shape = photograph.shape
    if len(shape) != 3 or shape[-1] not in (1, 2, 3, 4) or not photograph.size:
        raise RefusedError(
            "`photograph` must have shape (h, w, 3), or another number of channels: 1 "
            f"(grey), 2 (grey, alpha) or 4 (RGBA), got {shape}."
        )
    if photograph.dtype.name not in _DEPTHS:
        raise RefusedError(
            "`photograph` must be uint8 in [0, 255] or uint16 in [0, 65535], got "
            f"{photograph.dtype}."
        )


@no_type_check
def check_hole(hole: np.ndarray, photograph: np.ndarray) -> None:
    """Raise unless an array is a hole of a photograph.

    Raises:
      RefusedError: It is not a bool array of the photograph's size, or leaves no pixel.
    """
    if not isinstance(hole, np.ndarray):
        raise RefusedError(
            "`hole` must be a NumPy array (`np.asarray` of an image), got "
            f"{type(hole).__name__}."
        )
    if hole.shape != photograph.shape[:2] or hole.dtype != np.bool_:
        raise RefusedError(
            f"`hole` must be bool of shape {photograph.shape[:2]}, the photograph's, "
            f"got {hole.dtype} of shape {hole.shape}."
        )
    if hole.all():
        raise RefusedError("`hole` must leave a pixel to fill from, got none.")


def has_alpha(photograph: np.ndarray) -> bool:
    """Return whether the last channel of a photograph is its opacity."""
    return photograph.shape[-1] in (2, 4)


def to_8_bit_rgb(photograph: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Return a photograph as the 8-bit RGB that a network receives.

    Args:
      photograph: As `check_photograph` accepts it. 16 bits are scaled to 8, grey is
        repeated, and transparent pixels are composited on white.
    """
    pixels = photograph
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    if has_alpha(pixels):
        opacity = pixels[..., -1:] / np.float32(255)
        on_white = pixels[..., :-1] * opacity + 255 * (1 - opacity)
        pixels = np.round(on_white).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))


def put_back(
    photograph: np.ndarray,
    filled: UInt8[np.ndarray, "h w 3"],
    hole: Bool[np.ndarray, "h w"],
) -> np.ndarray:
    """Return a photograph whose hole has the pixels of a fill.

    Args:
      photograph: As `check_photograph` accepts it.
      filled: Filled 8-bit RGB of the photograph.
      hole: True where pixels are taken from the fill, scaled to the photograph's bit
        depth, grey in a grey photograph, and opaque.

    Returns:
      The result, of the photograph's shape and dtype; pixels outside the hole are
      unchanged.
    """
    colour = filled[hole]
    if photograph.shape[-1] < 3:
        colour = np.round(colour @ _LUMA)[:, None].astype(np.uint8)
    scale = np.iinfo(photograph.dtype).max // 255
    result = photograph.copy()
    result[hole, : colour.shape[-1]] = colour.astype(photograph.dtype) * scale
    if has_alpha(photograph):
        result[hole, -1] = np.iinfo(photograph.dtype).max
    return result
