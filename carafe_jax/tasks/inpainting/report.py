"""The final table and picture of an inpainting run."""

import pathlib

from rich.console import Console

from carafe_jax.tasks.inpainting.classic_fills import CLASSIC_FILLS, ClassicMethod
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator
from carafe_jax.tasks.inpainting.filler import Fill
from carafe_jax.tasks.inpainting.measuring import measure_fills
from carafe_jax.tasks.inpainting.samples import draw_samples
from carafe_jax.tasks.tables import Results
from carafe_jax.train import TrainState, is_first

_DRAWN: tuple[ClassicMethod, ...] = ("biharmonic", "spline")
_MEASURED: tuple[ClassicMethod, ...] = ("mean-colour", *_DRAWN)


def report_fills(
    evaluator: FillEvaluator,
    state: TrainState,
    *,
    dataset: InpaintingDataset,
    network_name: str,
    rows: int,
    path: pathlib.Path,
    console: Console,
) -> Results:
    """Evaluate a trained network and classic fills, and draw a sheet of samples.

    Every process must call it: all evaluate the network, the first does the rest.

    Args:
      evaluator: Evaluator of the network.
      state: State of the network.
      dataset: Dataset with the test set.
      network_name: Name of the network in the table.
      rows: Rows of the sheet.
      path: PNG file of the sheet.
      console: Console for the progress bar.

    Returns:
      The means over the test images by method; empty in other processes.
    """
    numbers = evaluator.evaluate(state)
    samples = evaluator.samples(state, count=rows)
    if not is_first():
        return {}
    truth = InpaintingBatch(image=samples["image"], mask=samples["mask"])
    drawn = {title: fill(truth) for title, fill in _fills(_DRAWN).items()}
    fills = {**drawn, network_name: samples["filled"]}
    draw_samples(truth, fills=fills).save(path)
    measured = measure_fills(
        dataset.held_out,
        _fills(_MEASURED),
        batch_size=dataset.data.batch_size,
        console=console,
    )
    return {**measured.means(), network_name: numbers}


def _fills(methods: tuple[ClassicMethod, ...]) -> dict[str, Fill]:
    chosen = (CLASSIC_FILLS[method] for method in methods)
    return {classic.title: classic.fill for classic in chosen}
