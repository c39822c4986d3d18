"""Sheets of images with holes, their fills and the truth."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw, ImageFont

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.pixels import to_pixels

_GAP = 4
_TEXT = 15  # Pixels.
_LINE = 20
_MARGIN = 6
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_samples(
    truth: InpaintingBatch,
    *,
    fills: Mapping[str, Float32[np.ndarray, "n h w 3"]],
    side: int = 192,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> Image.Image:
    """Return a sheet of images with holes, each of their fills and the truth.

    Args:
      truth: Images in [-1, 1] and their masks.
      fills: Filled images in [-1, 1], by the title of their column.
      side: Side of a drawn image, in pixels.
      captions: Lines under the images, by the title of their column. None: none.
    """
    image, mask = truth["image"], truth["mask"]
    columns = {"input": np.where(mask > 0, 1.0, image), **fills, "truth": image}
    font = ImageFont.load_default(_TEXT)
    titles = [_wrapped(title, font, side) for title in columns]
    header = _LINE * max(title.count("\n") + 1 for title in titles) + _MARGIN
    across, down = side + _GAP, side + (_LINE + _GAP if captions else _GAP)
    size = (len(columns) * across - _GAP, header + len(image) * down - _GAP)
    sheet = Image.new("RGB", size, "white")
    write = functools.partial(
        ImageDraw.Draw(sheet).multiline_text,
        fill="black",
        anchor="mm",
        align="center",
        font=font,
    )
    for column, (title, pictures) in enumerate(columns.items()):
        left = column * across
        write((left + side / 2, header / 2), titles[column])
        for row, picture in enumerate(pictures):
            top = header + row * down
            tile = _to_image(picture).resize((side, side), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left, top))
            if captions and title in captions:
                middle = (left + side / 2, top + side + _LINE / 2)
                write(middle, captions[title][row])
    return sheet


def _wrapped(title: str, font: _Font, width: int) -> str:
    """Break a title into lines that are no wider than its column."""
    lines: list[str] = []
    for word in title.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _to_image(picture: Float32[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray(to_pixels(picture))
