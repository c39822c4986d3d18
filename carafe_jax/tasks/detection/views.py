"""Views: a part of a resized photograph, flipped and turned by exact pixel moves."""

import dataclasses

import numpy as np
from jaxtyping import Float64

from carafe_jax.tasks.image_size import Size


@dataclasses.dataclass(frozen=True, kw_only=True)
class View:
    """Part of an image, which is flipped first and transposed last."""

    top: int
    left: int
    part: Size
    """Size of the part, before it is transposed."""
    flip_rows: bool = False
    """Whether to reverse the order of rows: a vertical flip."""
    flip_columns: bool = False
    """Whether to reverse the order of columns: a horizontal flip."""
    transpose: bool = False
    """Whether to swap rows and columns."""

    @property
    def size(self) -> Size:
        """Size of the view."""
        return self.part.transposed if self.transpose else self.part

    def of_pixels(self, image: np.ndarray) -> np.ndarray:
        """Return the view of an image.

        Args:
          image: (h, w, ...) pixels.
        """
        rows = slice(self.top, self.top + self.part.height)
        columns = slice(self.left, self.left + self.part.width)
        return self.turned(image[rows, columns])

    def turned(self, part: np.ndarray) -> np.ndarray:
        """Return pixels that are cut out already, flipped and transposed."""
        part = part[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return part.swapaxes(0, 1) if self.transpose else part

    def clipped(self, boxes: Float64[np.ndarray, "g 4"]) -> Float64[np.ndarray, "g 4"]:
        """Return boxes of the image, clipped to the part; empty ones lie outside."""
        low = np.array([self.left, self.top] * 2)
        high = low + [self.part.width, self.part.height] * 2
        return np.clip(boxes, low, high)

    def of_boxes(self, boxes: Float64[np.ndarray, "g 4"]) -> Float64[np.ndarray, "g 4"]:
        """Return boxes of the image in coordinates of the view.

        Args:
          boxes: x1, y1, x2, y2 in pixels of the image.
        """
        height, width = self.part
        x1, y1, x2, y2 = (boxes - [self.left, self.top] * 2).T
        if self.flip_columns:
            x1, x2 = width - x2, width - x1
        if self.flip_rows:
            y1, y2 = height - y2, height - y1
        corners = (y1, x1, y2, x2) if self.transpose else (x1, y1, x2, y2)
        return np.stack(corners, axis=-1)


def whole_view(size: Size) -> View:
    """Return the view of a whole image."""
    return View(top=0, left=0, part=size)


def random_view(
    rng: np.random.Generator,
    size: Size,
    *,
    crop_size: int | None,
    flips: str,
    turns: str,
    transpose: bool | None = None,
) -> View:
    """Draw a view.

    Args:
      rng: Generator of the random choices.
      size: Of the image.
      crop_size: Side of the square part, which is smaller where the image is. None: the
        whole image.
      flips: "none", "horizontal" or "both", as in `DetectionData`.
      turns: "none", or "all" for turns by multiples of 90 degrees.
      transpose: Whether the turn is by an odd multiple. None: it is drawn.
    """
    part = size if crop_size is None else Size(*(min(crop_size, s) for s in size))
    top = int(rng.integers(size.height - part.height + 1))
    left = int(rng.integers(size.width - part.width + 1))
    flip_columns = flips != "none" and bool(rng.integers(2))
    flip_rows = flips == "both" and bool(rng.integers(2))
    quarters = 0
    if turns == "all":
        odd = bool(rng.integers(2)) if transpose is None else transpose
        quarters = 2 * int(rng.integers(2)) + odd
    # A turn to the left flips columns and transposes; see `np.rot90`.
    return View(
        top=top,
        left=left,
        part=part,
        flip_columns=flip_columns ^ (quarters in (1, 2)),
        flip_rows=flip_rows ^ (quarters in (2, 3)),
        transpose=quarters % 2 == 1,
    )
