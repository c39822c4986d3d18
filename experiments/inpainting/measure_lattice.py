"""Measure the patterns of 2, 4 and 8 pixels that up-sampling leaves in fills.

Paper: none. CARAFE++ (arXiv:2012.04733) predicts the kernels of even and odd pixels of
an up-sampled map with different weights, which can leave a lattice.
Cost: as long as an evaluation with one classic fill.
Expected: the spline far below the truth at every period, a network not above the truth.
Reached: quickstart, boxes: -24 and -14 dB at 2 and 4 px, spline -28, -14 (2026-11-30).
Command: python -m experiments.inpainting.measure_lattice --model RUN
Holes of other sizes: add --test.crop-size 192 --test.holes boxes
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.arguments import check, check_count
from carafe_jax.cli.console import run
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from carafe_jax.train import CheckpointChoice
from experiments.inpainting.lattices.report import report_lattices


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasureLattice:
    """A trained network, and test images."""

    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best or the last."""
    source: str | None = None
    """Source of the photographs. None: that of the run."""
    periods: tuple[int, ...] = (2, 4, 8)
    """Periods of the patterns, in pixels. Up-sampling by 2 makes no pattern of period
    3, which serves as a control."""
    batch_size: int = 16
    """Pictures per batch."""
    output: pathlib.Path | None = None
    """Folder of lattice.csv and lattice.png. None: `lattice` in that of the run."""
    test: EvaluationOptions = EvaluationOptions(
        holes=("free-form", "boxes"), classic=("spline",)
    )
    """Test pictures and their holes, and fills to compare the network with."""

    def __post_init__(self) -> None:
        given, rule = self.periods, "be one or more different numbers of at least 2"
        holds = min(given, default=0) >= 2 and len({*given}) == len(given)
        check("periods", given, rule, holds=holds)
        check_count("batch_size", self.batch_size)


def main(config: MeasureLattice, console: Console) -> int:
    """Print, write and draw the measured lattices."""
    report_lattices(**vars(config), console=console)
    return 0


if __name__ == "__main__":
    run(main, MeasureLattice, doc=__doc__)
