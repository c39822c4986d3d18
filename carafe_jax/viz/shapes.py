"""Masks and boxes on a picture, in place."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8

from carafe_jax.viz.colours import BLACK, Colour

_MASK_OPACITY = 0.4
_EDGE_OPACITY = 0.6  # Of the dark edge of thick lines.


@dataclasses.dataclass(frozen=True)
class Stroke:
    """Style of lines."""

    width: int
    """Pixels."""
    opacity: float


def draw_mask(
    picture: UInt8[np.ndarray, "sh sw 3"],
    mask: Bool[np.ndarray, "h w"],
    colour: Colour,
    stroke: Stroke,
    *,
    scale: int,
) -> None:
    """Draw a mask, translucent, with an outline inside its border.

    Args:
      picture: RGB.
      mask: Mask in pixels of the photograph.
      colour: Its colour.
      stroke: Style of the outline.
      scale: Pixels of the picture per pixel of the photograph, along each side.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return
    top, left = rows[0], columns[0]
    inside = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    inside = inside.repeat(scale, 0).repeat(scale, 1)
    top, left = top * scale, left * scale
    area = picture[top : top + inside.shape[0], left : left + inside.shape[1]]
    _blend(area, colour, opacity=_MASK_OPACITY, where=inside)
    outline = inside & ~_eroded(inside, stroke.width)
    _blend(area, colour, opacity=stroke.opacity, where=outline)


def _eroded(mask: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    padded = np.pad(mask, 1)
    for _ in range(radius):
        core = padded[1:-1, 1:-1].copy()
        core &= padded[:-2, 1:-1] & padded[2:, 1:-1]
        core &= padded[1:-1, :-2] & padded[1:-1, 2:]
        padded[1:-1, 1:-1] = core
    return padded[1:-1, 1:-1]


def draw_box(
    picture: UInt8[np.ndarray, "h w 3"],
    box: Float[np.ndarray, "4"],
    colour: Colour,
    stroke: Stroke,
) -> None:
    """Draw a box; thick lines have a dark edge, and are visible on any ground.

    Args:
      picture: RGB.
      box: x1, y1, x2, y2 in pixels of the picture, within it.
      colour: Colour of the lines, which are inside the box.
      stroke: Style of the lines.
    """
    left, top = np.floor(box[:2]).astype(int).tolist()
    right, bottom = np.ceil(box[2:]).astype(int).tolist()
    if right <= left or bottom <= top:
        return
    line = stroke.width
    edge = line // 3
    if edge:
        frame = (left - edge, top - edge, right + edge, bottom + edge)
        _frame(picture, frame, BLACK, line=edge, opacity=_EDGE_OPACITY)
    _frame(
        picture,
        (left, top, right, bottom),
        colour,
        line=line,
        opacity=stroke.opacity,
    )
    if edge:
        frame = (left + line, top + line, right - line, bottom - line)
        _frame(picture, frame, BLACK, line=edge, opacity=_EDGE_OPACITY)


def _frame(
    picture: np.ndarray,
    box: tuple[int, int, int, int],
    colour: Colour,
    *,
    line: int,
    opacity: float,
) -> None:
    """Draw the four sides of a frame inside a box, without overlaps."""
    left, top, right, bottom = box
    sides = (
        (top, top + line, left, right),
        (bottom - line, bottom, left, right),
        (top + line, bottom - line, left, left + line),
        (top + line, bottom - line, right - line, right),
    )
    for first, last, start, end in sides:
        rows, columns = slice(max(first, 0), max(last, 0)), slice(max(start, 0), end)
        _blend(picture[rows, columns], colour, opacity=opacity)


def _blend(
    area: np.ndarray,
    colour: Colour,
    *,
    opacity: float,
    where: np.ndarray | None = None,
) -> None:
    chosen = ... if where is None else where
    if opacity == 1:
        area[chosen] = colour
        return
    mixed = area[chosen] * np.float32(1 - opacity) + np.float32(opacity) * np.array(
        colour, np.float32
    )
    area[chosen] = np.rint(mixed).astype(np.uint8)
