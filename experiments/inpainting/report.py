"""What an inpainting run shows at its end: a picture and a table."""

import csv
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw, ImageFont
from rich.table import Table
from rich.text import Text

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from experiments.inpainting.pixels import to_pixels

_HEADER = 24
_GAP = 4
COLUMNS = {
    "hole_l1": "L1 (%)",
    "hole_psnr": "PSNR (dB)",
    "hole_ssim": "SSIM",
    "whole_l1": "L1 (%)",
    "whole_psnr": "PSNR (dB)",
    "whole_ssim": "SSIM",
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


def write_table(path: pathlib.Path, results: Mapping[str, Mapping[str, float]]) -> None:
    """Write a CSV with a row for each method."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["method", *COLUMNS])
        writer.writeheader()
        writer.writerows({"method": name, **row} for name, row in results.items())
    partial.replace(path)


def write_provenance(path: pathlib.Path, provenance: Mapping[str, object]) -> None:
    """Write how, where and when the numbers of a table came about.

    `seconds` are those of training, compiling and evaluating, since the run was last
    started.
    """
    path.write_text(json.dumps(provenance, indent=2) + "\n")


def read_table(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """Read what `write_table` wrote."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {row.pop("method"): {k: float(v) for k, v in row.items()} for row in rows}


def draw_table(results: Mapping[str, Mapping[str, float]], *, title: str) -> Table:
    """Make a console table: the hole on the left, the whole image on the right."""
    table = Table(title=Text(title))
    table.add_column("method")
    for name, unit in COLUMNS.items():
        region = name.split("_")[0]
        table.add_column(f"{region}\n{unit}", justify="right")
    for method, row in results.items():
        digits = {name: 3 if name.endswith("ssim") else 2 for name in COLUMNS}
        cells = (f"{row[name]:.{digits[name]}f}" for name in COLUMNS)
        table.add_row(method, *cells)
    return table


def _to_image(picture: Float32[np.ndarray, "h w 3"]) -> Image.Image:
    return Image.fromarray(to_pixels(picture))
