"""Loads both networks, and writes the sheet."""

import math
import pathlib

from rich.console import Console

from carafe_jax.tasks.inpainting.data import InpaintingDataset
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions, chosen_fills
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.hole_kinds import with_each_kind
from carafe_jax.tasks.inpainting.loading import load
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.tasks.pictures import check_picture_path
from carafe_jax.train import CheckpointChoice
from experiments.inpainting.comparison.sheet import (
    best_fill,
    different_pictures,
    draw_sheet,
)

# Titles have room in columns that are this many pixels wide.
_MINIMUM_SIDE = 160


def write_comparison(
    *,
    carafe: pathlib.Path,
    plain: pathlib.Path,
    which: CheckpointChoice,
    source: str | None,
    scale: int | None,
    batch_size: int,
    output: pathlib.Path,
    test: EvaluationOptions,
    console: Console,
) -> None:
    """Draw fills by the best classic method, plain layers and CARAFE++.

    Raises:
      RefusedError: The output cannot be written, a folder holds no such checkpoint, or
        the source cannot be used.
    """
    check_picture_path("output", output)
    with loading(console, carafe):
        with_carafe, with_plain = load(carafe, which=which), load(plain, which=which)
    data = test.applied_to(with_carafe.data, source)
    examples = InpaintingDataset(data).held_out
    sets = [*with_each_kind(examples, test.kinds(data.masks)).values()]
    classic = chosen_fills(test, console)
    methods: dict[str, Fill] = {}
    if classic:
        name = best_fill(sets, classic, batch_size=batch_size, console=console)
        methods[f"best classic fill: {name}"] = classic[name]
    methods["plain layers"] = with_plain.fill_batches(batch_size=batch_size)
    methods["CARAFE++"] = with_carafe.fill_batches(batch_size=batch_size)
    pictures = different_pictures(sets, of_each=test.sample_rows)
    scale = scale or math.ceil(_MINIMUM_SIDE / data.crop_size)
    sheet = draw_sheet(pictures, methods, scale=scale)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output, quality=92, subsampling=0)
    print_line(console, f"Picture: {output}")
