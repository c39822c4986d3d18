"""Places for labels beside boxes, where they cover neither labels nor small boxes."""

import numpy as np
from jaxtyping import Float

# Fractions of areas that a label may cover.
_OF_OWN_BOX = 0.4
_OF_OTHER_BOX = 0.5


class LabelPlaces:
    """Free places for labels on a picture, each given away once."""

    def __init__(
        self, boxes: Float[np.ndarray, "d 4"], *, size: tuple[int, int]
    ) -> None:
        """Store the boxes and the size of the picture.

        Args:
          boxes: x1, y1, x2, y2 in pixels.
          size: Height and width of the picture.
        """
        self._boxes = boxes
        self._areas = np.maximum(_areas(boxes), 1)
        self._height, self._width = size
        self._taken = np.zeros((0, 4))

    def take(self, index: int, *, size: tuple[int, int]) -> tuple[int, int] | None:
        """Return the row and column of a label's corner, or None if no place is free.

        Args:
          index: Index of the box that the label describes.
          size: Height and width of the label.
        """
        height, width = size
        if height > self._height or width > self._width:
            return None
        corners = self._around(self._boxes[index], height, width)
        labels = np.concatenate([corners, corners + np.array([width, height])], 1)
        share = _intersections(labels, self._boxes) / self._areas
        own = share[:, index].copy()
        share[:, index] = 0
        free = (
            (own <= _OF_OWN_BOX)
            & (share <= _OF_OTHER_BOX).all(1)
            & (_intersections(labels, self._taken) == 0).all(1)
        )
        if not free.any():
            return None
        chosen = labels[free.argmax()]
        self._taken = np.concatenate([self._taken, chosen[None]])
        return int(chosen[1]), int(chosen[0])

    def _around(
        self, box: Float[np.ndarray, "4"], height: int, width: int
    ) -> Float[np.ndarray, "p 2"]:
        """Return the corners, x and y, of labels around a box, the best first."""
        left, top = np.floor(box[:2])
        right, bottom = np.ceil(box[2:])
        corners = np.array(
            [
                (left, top - height),
                (left, top),
                (left, bottom),
                (right - width, top - height),
                (right - width, bottom),
                (left, bottom - height),
                (right, top),
                (left - width, top),
            ]
        )
        return np.clip(corners, 0, [self._width - width, self._height - height])


def _areas(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)


def _intersections(
    a: Float[np.ndarray, "m 4"], b: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "m n"]:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)
