"""Conversion between images in [-1, 1], for networks, and 8-bit pixels."""

import numpy as np
from jaxtyping import Float32, UInt8


def to_pixels(image: Float32[np.ndarray, "*n 3"]) -> UInt8[np.ndarray, "*n 3"]:
    """Clip an image to [-1, 1], and round it to pixels in [0, 255]."""
    return np.round((image.clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def from_pixels(pixels: UInt8[np.ndarray, "*n 3"]) -> Float32[np.ndarray, "*n 3"]:
    """Scale pixels in [0, 255] to [-1, 1]."""
    return pixels / np.float32(127.5) - 1
