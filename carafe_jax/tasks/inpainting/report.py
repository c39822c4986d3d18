"""What inpainting runs show: the columns of their tables, and sheets of pictures."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw, ImageFont

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.tasks.inpainting.pixels import to_pixels
from carafe_jax.tasks.tables import Column

_HEADER = 24
_GAP = 4
COLUMNS = {
    f"{region}_{name}": Column(f"{region}\n{title}", digits)
    for region in ("hole", "whole")
    for name, title, digits in (
        ("l1", "L1 (%)", 2),
        ("psnr", "PSNR (dB)", 2),
        ("ssim", "SSIM", 3),
    )
}


def draw_samples(
    truth: InpaintingBatch,
    *,
    fills: Mapping[str, Float32[np.ndarray, "n h w 3"]],
    side: int = 192,
) -> Image.Image:
    """Draw pictures with holes, each of their fills and the truth, side by side.

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
