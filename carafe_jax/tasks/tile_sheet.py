"""Sheets of pictures in rows, with titles above the columns."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

# In pixels.
_GAP = 4
_HEADER = 26
_TEXT = 15


def stack_tiles(
    rows: Sequence[Sequence[Image.Image]], *, titles: Sequence[str], width: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a sheet of rows of tiles.

    Args:
      rows: Tiles, as many in each row as there are titles.
      titles: Titles of the columns.
      width: Smallest width of a column, in pixels.
    """
    width = max([width, *(tile.width for row in rows for tile in row)]) + _GAP
    heights = [max(tile.height for tile in row) + _GAP for row in rows]
    size = (len(titles) * width - _GAP, _HEADER + sum(heights))
    sheet = Image.new("RGB", size, "white")
    font = ImageFont.load_default(_TEXT)
    for column, title in enumerate(titles):
        middle = (column * width + (width - _GAP) / 2, _HEADER / 2)
        ImageDraw.Draw(sheet).text(middle, title, "black", font, "mm")
    top = _HEADER
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * width, top))
        top += height
    return np.asarray(sheet)
