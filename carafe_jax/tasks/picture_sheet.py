"""Sheets of pictures with captions, in sections."""

import dataclasses
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from carafe_jax.texts import printable

_GAP = 12
_CAPTION = 24
_TITLE = 40
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Captioned = tuple[Image.Image, str]


@dataclasses.dataclass(frozen=True)
class Section:
    """Pictures under a title, each with its caption."""

    title: str
    pictures: Sequence[Captioned]


def draw_sheet(sections: Sequence[Section], *, width: int) -> Image.Image:
    """Return a sheet of pictures, in rows from left to right.

    Args:
      sections: Sections from top to bottom, each with at least one picture.
      width: Width of the sheet in pixels; it grows for a picture that is wider.
    """
    widest = max(x.width for section in sections for x, _ in section.pictures)
    width = max(width, widest + 2 * _GAP)
    rows = [(section.title, [*_rows(section.pictures, width)]) for section in sections]
    height = _GAP + sum(
        _TITLE + sum(_height(row) + _CAPTION + _GAP for row in found)
        for _, found in rows
    )
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    title_font, font = ImageFont.load_default(22), ImageFont.load_default(15)
    top = _GAP
    for title, found in rows:
        draw.text((_GAP, top + 4), title, fill="black", font=title_font)
        top += _TITLE
        for row in found:
            left = _GAP
            for picture, caption in row:
                sheet.paste(picture, (left, top))
                text = _shortened(printable(caption), font, picture.width)
                place = (left, top + picture.height + 4)
                draw.text(place, text, fill="black", font=font)
                left += picture.width + _GAP
            top += _height(row) + _CAPTION + _GAP
    return sheet


def fit(image: Image.Image, height: int) -> Image.Image:
    """Return an image of a height, or lower if it would be over twice as wide."""
    factor = min(height / image.height, 2 * height / image.width)
    width, height = (max(1, round(x * factor)) for x in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _rows(pictures: Sequence[Captioned], width: int) -> Iterator[list[Captioned]]:
    """Yield the pictures in rows that are no wider than the sheet."""
    row: list[Captioned] = []
    used = _GAP
    for picture, caption in pictures:
        if row and used + picture.width + _GAP > width:
            yield row
            row, used = [], _GAP
        row.append((picture, caption))
        used += picture.width + _GAP
    yield row


def _height(row: Sequence[Captioned]) -> int:
    return max(picture.height for picture, _ in row)


def _shortened(text: str, font: _Font, width: int) -> str:
    """Return a text that is no wider, without characters of its middle."""
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = kept // 3
        short = f"{text[:head]}…{text[len(text) - kept + head :]}"
        if font.getlength(short) <= width:
            return short
    return ""
