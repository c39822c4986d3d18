"""Crops of an image, resized during decoding."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import shrink_on_load, to_rgb, upright, upright_size

_TRIES = 10


class Box(NamedTuple):
    """Rectangle in an image, in pixels; fractions are allowed."""

    left: float
    top: float
    width: float
    height: float


def random_box(
    rng: np.random.Generator,
    size: tuple[int, int],
    *,
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """Draw the box of a random resized crop, as in Szegedy et al. (arXiv:1409.4842).

    The area is uniform, the ratio of width to height log-uniform. If ten draws do not
    fit into the image, the box is the largest central one with an allowed ratio.

    Args:
      rng: Generator of area, ratio and position.
      size: Width and height of the image, in pixels.
      area: Smallest and largest area, as fractions of the image's, in (0, 1].
      ratio: Smallest and largest width over height.

    Returns:
      A box of whole pixels inside the image.
    """
    width, height = size
    (smallest, largest), (narrowest, widest) = area, ratio
    for _ in range(_TRIES):
        pixels = width * height * rng.uniform(smallest, largest)
        drawn = math.exp(rng.uniform(math.log(narrowest), math.log(widest)))
        w, h = round(math.sqrt(pixels * drawn)), round(math.sqrt(pixels / drawn))
        if 0 < w <= width and 0 < h <= height:
            left, top = rng.integers(width - w + 1), rng.integers(height - h + 1)
            return Box(int(left), int(top), w, h)
    allowed = min(max(width / height, narrowest), widest)
    w, h = min(width, round(height * allowed)), min(height, round(width / allowed))
    return Box((width - w) // 2, (height - h) // 2, max(1, w), max(1, h))


def centre_box(size: tuple[int, int], *, fraction: float) -> Box:
    """Return the central square of an image.

    Args:
      size: Width and height of the image, in pixels.
      fraction: Side of the square, as a fraction of the shorter side: 224 / 256 for a
        crop of 224 pixels after resizing the shorter side to 256.

    Returns:
      The square.
    """
    width, height = size
    side = fraction * min(size)
    return Box((width - side) / 2, (height - side) / 2, side, side)


def decode_centre(
    image: Image.Image, *, size: int, resize_size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Decode the central square of an image, as in the evaluation of classifiers.

    Args:
      image: Image opened by Pillow, not yet decoded.
      size: Side of the result, in pixels.
      resize_size: Length of the shorter side before the crop, in pixels.

    Returns:
      RGB in [0, 255].

    Raises:
      UnreadableImageError: The file is damaged.
    """
    box = centre_box(upright_size(image), fraction=size / resize_size)
    return decode_box(image, box, size=size)


def decode_box(
    image: Image.Image, box: Box, *, size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Decode a crop of an image at a given size.

    A JPEG is decoded at the smallest of its scales at which the crop still has `size`
    pixels along each side, then resized with an anti-aliasing bilinear filter.

    Args:
      image: Image opened by Pillow, not yet decoded.
      box: Box of the crop, in pixels of the upright image.
      size: Side of the result, in pixels.

    Returns:
      RGB in [0, 255].

    Raises:
      UnreadableImageError: The file is damaged.
    """
    width, _ = upright_size(image)
    needed = size / min(box.width, box.height)
    if needed < 1:
        w, h = image.size
        shrink_on_load(image, (math.ceil(w * needed), math.ceil(h * needed)))
    turned = to_rgb(upright(image))
    (w, h), scale = turned.size, turned.size[0] / width
    part = (
        box.left * scale,
        box.top * scale,
        min(w, (box.left + box.width) * scale),
        min(h, (box.top + box.height) * scale),
    )
    return np.array(turned.resize((size, size), Image.Resampling.BILINEAR, box=part))
