"""Bounding boxes of holes."""

import numpy as np
from jaxtyping import Bool, Int


def box_of(hole: Bool[np.ndarray, "h w"], *, margin: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns of the bounding box of a hole.

    Args:
      hole: True in the hole, at one pixel or more.
      margin: Pixels to add on each side, clipped to the image.
    """
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    height, width = hole.shape
    return (
        _side(rows, margin=margin, length=height),
        _side(columns, margin=margin, length=width),
    )


def _side(places: Int[np.ndarray, "n"], *, margin: int, length: int) -> slice:
    first, last = int(places[0]), int(places[-1])
    return slice(max(first - margin, 0), min(last + 1 + margin, length))
