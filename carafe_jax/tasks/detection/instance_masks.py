"""Instance masks in views, decoded where they are seen and sent as bits."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from carafe_jax.run_length_codes import RLE, ends_of_runs, mask_tools
from carafe_jax.tasks.detection.resizing import nearest_pixels
from carafe_jax.tasks.detection.views import View
from carafe_jax.tasks.image_size import Size


class VisibleMask(NamedTuple):
    """Mask of an object, where it is not zero for certain."""

    top: int
    left: int
    pixels: Bool[np.ndarray, "h w"]

    def extent(self) -> tuple[int, int, int, int]:
        """Return x1, y1, x2, y2 of the pixels that are set; zeros if there is none."""
        rows, columns = (np.flatnonzero(self.pixels.any(axis)) for axis in (1, 0))
        if not len(rows):
            return 0, 0, 0, 0
        x, y = self.left, self.top
        ends = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        x1, y1, x2, y2 = map(int, ends)
        return x + x1, y + y1, x + x2, y + y2


def visible_masks(
    masks: Sequence[RLE], *, size: Size, resized: Size, view: View
) -> list[VisibleMask]:
    """Decode the part of masks that a view shows, before it is flipped and transposed.

    Masks have the size of the file, and are resized by nearest-neighbour interpolation.

    Args:
      masks: Run-length encodings that fill masks of the size of the file.
      size: Of the file.
      resized: Size of the image after resizing.
      view: Of the resized image.

    Returns:
      Masks in pixels of the resized image.

    Raises:
      MissingExtraError: pycocotools is not installed.
    """
    if not masks:
        return []
    rows = nearest_pixels(size.height, resized.height)
    columns = nearest_pixels(size.width, resized.width)
    found: list[VisibleMask] = []
    for mask, (x, y, w, h) in zip(masks, mask_tools().toBbox([*masks]), strict=True):
        top, bottom = _range(rows, (y, y + h), view.top, view.part.height)
        left, right = _range(columns, (x, x + w), view.left, view.part.width)
        pixels = np.zeros((0, 0), bool)
        if top < bottom and left < right:
            pixels = _decode(
                mask["counts"], rows[top:bottom], columns[left:right], size.height
            )
        found.append(VisibleMask(top, left, pixels))
    return found


def pack_masks(
    masks: Sequence[VisibleMask], *, view: View, slots: int, size: Size
) -> UInt8[np.ndarray, "slots h w8"]:
    """Return the masks of objects over a padded image, eight columns in a byte.

    Args:
      masks: Masks in pixels of the resized image, at most `slots`.
      view: Of the resized image.
      slots: Objects of an image, with padding.
      size: Of the padded image; its width is a multiple of 8.
    """
    packed = np.zeros((slots, size.height, size.width // 8), np.uint8)
    for own, mask in zip(packed, masks, strict=False):
        pixels = view.turned(mask.pixels)
        height, width = pixels.shape
        top, left = _place(mask, view)
        first, offset = divmod(left, 8)
        aligned = np.zeros((height, offset + width), bool)
        aligned[:, offset:] = pixels
        bits = np.packbits(aligned, axis=1)
        own[top : top + height, first : first + bits.shape[1]] = bits
    return packed


def _place(mask: VisibleMask, view: View) -> tuple[int, int]:
    """Return the first row and column of a mask in a view."""
    height, width = mask.pixels.shape
    box = (mask.left, mask.top, mask.left + width, mask.top + height)
    left, top = view.of_boxes(np.array([box], np.float64))[0, :2]
    return int(top), int(left)


def _range(
    sources: np.ndarray, ends: tuple[float, float], start: int, length: int
) -> tuple[int, int]:
    """Return the resized pixels in a part whose sources lie between two ends."""
    first, last = np.searchsorted(sources, ends)
    return max(int(first), start), min(int(last), start + length)


def _decode(
    counts: bytes, rows: np.ndarray, columns: np.ndarray, height: int
) -> Bool[np.ndarray, "h w"]:
    """Decode the pixels of a mask in some rows and columns, both in ascending order.

    Only the columns from the first to the last one are decoded: pycocotools decodes
    whole masks, which are many times larger than most objects.
    """
    first, last = int(columns[0]), int(columns[-1]) + 1
    ends = np.clip(ends_of_runs(counts), first * height, last * height)
    lengths = np.diff(ends, prepend=first * height)
    values = np.arange(len(ends)) % 2 == 1
    pixels = np.repeat(values, lengths).reshape(last - first, height)
    return pixels[np.ix_(columns - first, rows)].T
