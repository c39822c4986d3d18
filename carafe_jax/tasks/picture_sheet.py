"""Sheets of pictures with captions, in sections."""

import dataclasses
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_GAP = 12
_CAPTION = 22
_TITLE = 40
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclasses.dataclass(frozen=True)
class Section:
    """Pictures under a title, each with its caption."""

    title: str
    pictures: Sequence[tuple[Image.Image, str]]


def draw_sheet(sections: Sequence[Section], *, side: int, columns: int) -> Image.Image:
    """Return a sheet of pictures.

    Args:
      sections: Sections from top to bottom.
      side: Longest side of a picture, in pixels.
      columns: Pictures in a row.
    """
    rows = [
        (section, number, section.pictures[number : number + columns])
        for section in sections
        for number in range(0, len(section.pictures), columns)
    ]
    heights = [
        (0 if number else _TITLE)
        + max(picture.height for picture, _ in row)
        + _CAPTION
        + _GAP
        for _, number, row in rows
    ]
    used = min(columns, max(len(section.pictures) for section in sections))
    width = used * (side + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    title_font, font = ImageFont.load_default(22), ImageFont.load_default(15)
    top = _GAP
    for (section, number, row), height in zip(rows, heights, strict=True):
        start = top
        if not number:
            draw.text((_GAP, top + 4), section.title, fill="black", font=title_font)
            start += _TITLE
        tallest = max(picture.height for picture, _ in row)
        for column, (picture, caption) in enumerate(row):
            left = _GAP + column * (side + _GAP)
            # At the bottom of the row, above its caption.
            sheet.paste(picture, (left, start + tallest - picture.height))
            text = _shortened(caption, font, side)
            draw.text((left, start + tallest + 3), text, fill="black", font=font)
        top += height
    return sheet


def fit(image: Image.Image, side: int) -> Image.Image:
    """Return an image whose longer side has a length; no side is under 1 pixel."""
    factor = side / max(image.size)
    width, height = (max(1, round(x * factor)) for x in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _shortened(text: str, font: _Font, width: int) -> str:
    """Return a text that is no wider, without characters of its middle."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head, tail = kept // 3, kept - kept // 3
        short = f"{text[:head]}...{text[len(text) - tail :]}"
        if font.getlength(short) <= width:
            return short
    return ""
