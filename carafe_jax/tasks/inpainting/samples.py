"""Sheets of pictures with holes, their fills and the truth."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw, ImageFont

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.pixels import to_pixels

_HEADER = 24
_GAP = 4


def draw_samples(
    truth: InpaintingBatch,
    *,
    fills: Mapping[str, Float32[np.ndarray, "n h w 3"]],
    side: int = 192,
) -> Image.Image:
    """Return a sheet: pictures with holes, each of their fills and the truth.

    Args:
      truth: Images in [-1, 1] and their masks.
      fills: Filled images in [-1, 1], by the title of their column.
      side: Height of a drawn picture, in pixels.
    """
    image, mask = truth["image"], truth["mask"]
    columns = {"input": np.where(mask > 0, 1.0, image), **fills, "truth": image}
    step = side + _GAP
    size = (len(columns) * step - _GAP, _HEADER + len(image) * step - _GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, (title, pictures) in enumerate(columns.items()):
        middle = column * step + side / 2
        draw.text((middle, _HEADER / 2), title, fill="black", anchor="mm", font=font)
        for row, picture in enumerate(pictures):
            tile = _to_image(picture).resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(tile, (column * step, _HEADER + row * step))
    return sheet


def _to_image(picture: Float32[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray(to_pixels(picture))
