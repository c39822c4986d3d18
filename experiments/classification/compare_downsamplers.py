"""Train a small ResNet with each down-sampler of table III, and compare.

Paper: table III of CARAFE++ (arXiv:2012.04733), scaled down, and for classification.
Cost: 18 runs; with five epochs, each takes three to five minutes on two cores of an
Intel Xeon.
Expected: as in table III, every pooling above strided convolution, CARAFE++ first.
Reached: top-1 after five epochs: CARAFE++ 51.3 %, strided convolution 41.4 %, max
pooling 53.8 %, LIP 55.0 % (2026-11-26).
Command: python -m experiments.classification.compare_downsamplers
A folder instead of TFDS: add --base.data.source FOLDER
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import ClassificationData, ClassificationRun
from carafe_jax.tasks.comparison import ComparisonConfig, repeat_over_seeds, with_fields
from carafe_jax.train import Loop

_DOWNSAMPLERS = ("conv", "max", "average", "dpp", "lip", "carafe")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(ComparisonConfig):
    """The same run with each down-sampler and each seed."""

    base: ClassificationRun = ClassificationRun(
        data=ClassificationData(
            source="tfds:imagenette/160px-v2",
            image_size=64,
            resize_size=64,
            batch_size=128,
        ),
        network=ClassifierConfig(depth=18, width=16),
        loop=Loop(epochs=10, save_every=1000),
        workdir=pathlib.Path("runs/classification/comparison"),
    )
    results: pathlib.Path = pathlib.Path(
        "experiments/results/classification/downsamplers.csv"
    )


def main(config: Comparison, console: Console) -> int:
    """Train every run that has no row yet, then compare."""
    runs = {
        x: with_fields(config.base, "network", downsampler=x) for x in _DOWNSAMPLERS
    }
    return repeat_over_seeds(config, runs, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
