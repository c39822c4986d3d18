"""Sliding windows over resized photographs, by the rule of semseg's evaluation.

The code is https://github.com/hszhao/semseg, tool/test.py, by which the published
PSPNets and PSANets were evaluated.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.image_size import Size


class WindowGrid(NamedTuple):
    """Positions of the windows over an image."""

    padded: Size
    """Size of the image with its padding: at least that of a window."""
    before: tuple[int, int]
    """Rows of padding above the image, and columns on its left."""
    starts: tuple[tuple[int, int], ...]
    """First row and column of each window in the padded image, row by row."""


def window_grid(size: Size, window: Size) -> WindowGrid:
    """Return the positions of windows that cover an image.

    Neighbours are 2/3 of a window apart, rounded up; the last window of a row or column
    ends with the image. Images smaller than a window are padded around.

    Args:
      size: Of the image.
      window: Size of a window.
    """
    padded = Size(*(max(pair) for pair in zip(size, window, strict=True)))
    rows, columns = (_starts(*pair) for pair in zip(padded, window, strict=True))
    top, left = ((x - y) // 2 for x, y in zip(padded, size, strict=True))
    return WindowGrid(padded, (top, left), tuple((y, x) for y in rows for x in columns))


def cut_windows(
    image: UInt8[np.ndarray, "h w 3"], window: Size
) -> UInt8[np.ndarray, "m wh ww 3"]:
    """Return the windows of an image, with zeros in the padding."""
    height, width, _ = image.shape
    padded, (top, left), starts = window_grid(Size(height, width), window)
    pixels = np.zeros((*padded, 3), np.uint8)
    pixels[top : top + height, left : left + width] = image
    return np.stack(
        [pixels[y : y + window.height, x : x + window.width] for y, x in starts]
    )


def mean_over_windows(
    logits: Float[Array, "n m f oh ow k"],
    *,
    size: Size,
    window: Size,
    align_corners: bool = False,
) -> Float[Array, "n h w k"]:
    """Return the probabilities of the classes, averaged over the windows of images.

    The logits of each window are resized to it, one window of each image after the
    other. Their softmax is averaged over all windows that cover a pixel.

    Args:
      logits: Logits of the m windows of each image at any stride, in the order of
        `window_grid`; f of each window, as of its mirror image.
      size: Height and width of the images.
      window: Height and width of a window.
      align_corners: As in `nn.resize_bilinear`.
    """
    n, _, count, *_, classes = logits.shape
    padded, (top, left), starts = window_grid(size, window)
    places = jnp.array(starts)
    lax: Any = jax.lax  # Its types are partly unknown.

    def add(index: Array, total: Array) -> Array:
        own: Array = lax.dynamic_index_in_dim(logits, index, axis=1, keepdims=False)
        flat = own.reshape(n * count, *own.shape[2:])
        resized = resize_bilinear(flat, size=window, align_corners=align_corners)
        found = jax.nn.softmax(resized).reshape(n, count, *window, classes).mean(1)
        place = (0, places[index, 0], places[index, 1], 0)
        before = lax.dynamic_slice(total, place, found.shape)
        return lax.dynamic_update_slice(total, before + found, place)

    nothing = jnp.zeros((n, *padded, classes), logits.dtype)
    total: Array = lax.fori_loop(0, len(starts), add, nothing)
    covered = np.zeros((*padded, 1), np.float32)
    for y, x in starts:
        covered[y : y + window.height, x : x + window.width] += 1
    height, width = size
    return (total / covered)[:, top : top + height, left : left + width]


def _starts(side: int, window: int) -> list[int]:
    stride = -(-2 * window // 3)
    count = -(-(side - window) // stride) + 1
    return [min(index * stride, side - window) for index in range(count)]
