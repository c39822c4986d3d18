"""Loads both networks, and writes the sheet."""

import math

from rich.console import Console

from carafe_jax.tasks.inpainting.data import InpaintingDataset
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions, chosen_fills
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.hole_kinds import with_each_kind
from carafe_jax.tasks.inpainting.loading import load
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.pictures import check_picture_path
from experiments.inpainting.comparison.sheet import (
    best_fill,
    different_pictures,
    draw_sheet,
)
from experiments.two_runs import TwoRuns

# Titles have room in columns that are this many pixels wide.
_MINIMUM_SIDE = 160


def write_comparison(
    runs: TwoRuns,
    *,
    scale: int | None,
    batch_size: int,
    test: EvaluationOptions,
    console: Console,
) -> None:
    """Draw fills by the best classic method, plain layers and CARAFE++.

    Args:
      runs: Both networks, the source, and the path of the picture.
      scale: Pixels drawn per pixel of a picture. None: enough for readable titles.
      batch_size: Pictures per batch.
      test: Test pictures and their holes, and the classic fills.
      console: Console for progress and the path.

    Raises:
      RefusedError: The output cannot be written, a folder holds no such checkpoint, or
        the source cannot be used.
    """
    check_picture_path("output", runs.output)
    plain, carafe = runs.load(load, console)
    data = test.applied_to(carafe.data, runs.source)
    examples = InpaintingDataset(data).held_out
    sets = [*with_each_kind(examples, test.kinds(data.masks)).values()]
    classic = chosen_fills(test, console)
    methods: dict[str, Fill] = {}
    if classic:
        name = best_fill(sets, classic, batch_size=batch_size, console=console)
        methods[f"best classic fill: {name}"] = classic[name]
    methods["plain layers"] = plain.fill_batches(batch_size=batch_size)
    methods["CARAFE++"] = carafe.fill_batches(batch_size=batch_size)
    pictures = different_pictures(sets, of_each=test.sample_rows)
    scale = scale or math.ceil(_MINIMUM_SIDE / data.crop_size)
    sheet = draw_sheet(pictures, methods, scale=scale)
    runs.output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(runs.output, quality=92, subsampling=0)
    print_line(console, f"Picture: {runs.output}")
