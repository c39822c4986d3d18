"""Labels of boxes: their texts, and their drawing where they cover little."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from carafe_jax.viz.colours import Colour
from carafe_jax.viz.label_places import LabelPlaces
from carafe_jax.viz.pen import Pen

# Largest fractions of the picture's area that all labels together cover.
_OF_PICTURE = 0.2
_OF_PICTURE_BY_EQUAL_NAMES = 0.05
_OF_BOX = 0.25  # A label that covers no more of its box is always tried.
_LONG_NAME = 12  # Letters.


def draw_labels(
    picture: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "d 4"],
    *,
    names: Sequence[str],
    scores: Float[np.ndarray, "d"] | None,
    colours: Sequence[Colour],
    text_size: int,
) -> None:
    """Draw labels on a picture, in place; those of high scores are placed first.

    Args:
      picture: RGB.
      boxes: x1, y1, x2, y2 in pixels of the picture, within it.
      names: Class names of the objects.
      scores: Scores of the objects. None: larger objects are placed first.
      colours: Colours of the objects.
      text_size: Size of the text, in pixels.
    """
    pen = Pen(text_size)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    forms = [_forms(name, score) for name, score in _named(names, scores)]
    limits = [_OF_PICTURE] * 4
    if len(set(names)) == 1:
        # A name says little where all are equal: it gives way to the score.
        forms = [[form[0], *form[-1:]] for form in forms]
        limits = [_OF_PICTURE_BY_EQUAL_NAMES, 0.0 if scores is None else _OF_PICTURE]
    level = _level(forms, limits, pen, area=picture.shape[0] * picture.shape[1])
    places = LabelPlaces(boxes, size=picture.shape[:2])
    ranks = areas if scores is None else scores
    for index in np.argsort(-ranks, kind="stable").tolist():
        if not areas[index]:
            continue
        for place_in_list, text in enumerate(forms[index]):
            height, width = pen.size(text)
            fits = level is not None and place_in_list >= level
            if not fits and height * width > _OF_BOX * areas[index]:
                continue
            place = places.take(index, size=(height, width))
            if place is not None:
                row, column = place
                label = pen.draw(text, colours[index])
                picture[row : row + height, column : column + width] = label
                break


def _named(
    names: Sequence[str], scores: Float[np.ndarray, "d"] | None
) -> list[tuple[str, float | None]]:
    values = [None] * len(names) if scores is None else scores.tolist()
    return list(zip(names, values, strict=True))


def _forms(name: str, score: float | None) -> list[str]:
    """Return the texts of a label, the longest first."""
    short = name if len(name) <= _LONG_NAME else name[: _LONG_NAME - 2] + "…"
    if score is None:
        return [name, short]
    return [f"{name} {score:.2f}", name, short, f"{score:.2f}"]


def _level(
    forms: Sequence[Sequence[str]],
    limits: Sequence[float],
    pen: Pen,
    *,
    area: int,
) -> int | None:
    """Return the longest form in which all labels together cover little, or None."""
    if len(forms) == 1:
        return 0
    for level, texts in enumerate(zip(*forms, strict=True)):
        covered = sum(math.prod(pen.size(text)) for text in texts)
        if covered <= limits[level] * area:
            return level
    return None
