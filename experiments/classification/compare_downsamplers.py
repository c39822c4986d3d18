"""Train a small ResNet with each down-sampler of table III, and compare.

Paper: the question of table III of CARAFE++ (arXiv:2012.04733), scaled down and asked
of classification itself.
Cost: one training for each down-sampler and seed.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv.
Command: python -m experiments.classification.compare_downsamplers
A folder instead of TFDS: add --base.data.source FOLDER
"""

import dataclasses
import functools
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models import ClassifierConfig, Downsampler
from carafe_jax.tasks.classification import ClassificationData, ClassificationRun
from carafe_jax.tasks.comparison import check_choices, repeat_over_seeds
from carafe_jax.train import Loop


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each down-sampler and each seed."""

    base: ClassificationRun = ClassificationRun(
        data=ClassificationData(
            source="tfds:imagenette/160px-v2",
            image_size=64,
            resize_size=64,
            batch_size=128,
        ),
        network=ClassifierConfig(depth=18, width=16),
        loop=Loop(epochs=10, evaluate_every=1, save_every=1000),
        workdir=pathlib.Path("runs/classification/comparison"),
    )
    """What all runs share; its `workdir` holds a folder for each. Its down-sampler and
    seeds are those below."""
    downsamplers: tuple[Downsampler, ...] = (
        "conv",
        "max",
        "average",
        "dpp",
        "lip",
        "carafe",
    )
    """What to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        check_choices(downsamplers=self.downsamplers, seeds=self.seeds)


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""

    def make(downsampler: Downsampler, base: ClassificationRun) -> ClassificationRun:
        network = dataclasses.replace(base.network, downsampler=downsampler)
        return dataclasses.replace(base, network=network)

    methods = {name: functools.partial(make, name) for name in config.downsamplers}
    return repeat_over_seeds(config.base, methods, seeds=config.seeds, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
