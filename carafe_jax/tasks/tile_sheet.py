"""Sheets of pictures in rows, with titles above the columns."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

# In pixels.
_GAP = 4
_HEADER = 26
_TEXT = 15


def stack_tiles(
    rows: Sequence[Sequence[Image.Image]], *, titles: Sequence[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet of rows of tiles, with columns as wide as their tiles and titles.

    Args:
      rows: Tiles, as many in each row as there are titles.
      titles: Titles of the columns.
    """
    font = ImageFont.load_default(_TEXT)
    widths = [
        max([math.ceil(font.getlength(title)), *(row[column].width for row in rows)])
        for column, title in enumerate(titles)
    ]
    lefts = np.cumsum([0, *(width + _GAP for width in widths)]).tolist()
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (lefts[-1] - _GAP, _HEADER + sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    for title, left, width in zip(titles, lefts[:-1], widths, strict=True):
        pen.text((left + width / 2, _HEADER / 2), title, "black", font, "mm")
    top = _HEADER
    for row, height in zip(rows, heights, strict=True):
        for tile, left in zip(row, lefts[:-1], strict=True):
            sheet.paste(tile, (left, top))
        top += height
    return np.asarray(sheet)
