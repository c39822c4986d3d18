"""The table and the picture at the end of an inpainting run."""

import pathlib

from rich.console import Console

from carafe_jax.tasks.inpainting import classic_fills
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator
from carafe_jax.tasks.inpainting.measuring import measure_fills
from carafe_jax.tasks.inpainting.samples import draw_samples
from carafe_jax.tasks.tables import Results
from carafe_jax.train import TrainState, is_first


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
    """Measure a trained network and classic fills, and draw a sheet of pictures.

    Every process calls it: the network is measured by all, the rest by the first.

    Args:
      evaluator: Of the network.
      state: Of the network.
      dataset: Its test set is measured.
      network_name: Name of the network in the table.
      rows: Pictures of the sheet.
      path: PNG file of the sheet.
      console: Where the progress bar is drawn.

    Returns:
      The means over the test images by method; nothing in other processes.
    """
    numbers = evaluator.evaluate(state)
    samples = evaluator.samples(state, count=rows)
    if not is_first():
        return {}
    truth = InpaintingBatch(image=samples["image"], mask=samples["mask"])
    fills = {
        "biharmonic": classic_fills.biharmonic(truth),
        "spline": classic_fills.spline(truth),
        network_name: samples["filled"],
    }
    draw_samples(truth, fills=fills).save(path)
    measured = measure_fills(
        dataset.held_out,
        {
            "mean colour": classic_fills.mean_colour,
            "biharmonic": classic_fills.biharmonic,
            "spline": classic_fills.spline,
        },
        batch_size=dataset.data.batch_size,
        console=console,
    )
    return {**measured.means(), network_name: numbers}
