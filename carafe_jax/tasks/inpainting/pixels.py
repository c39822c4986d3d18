"""Images in [-1, 1], as networks see them, and 8-bit pixels, as files hold them."""

import numpy as np
from jaxtyping import Float32, UInt8


def to_pixels(image: Float32[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """Round an image in [-1, 1] to pixels in [0, 255]; what is outside is clipped."""
    return np.round((image.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def from_pixels(pixels: UInt8[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
    """Spread pixels in [0, 255] over [-1, 1]."""
    return pixels / np.float32(127.5) - 1
