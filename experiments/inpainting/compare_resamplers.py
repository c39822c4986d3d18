"""Train the quickstart's network with CARAFE++ and with plain layers, and compare.

Paper: the question of table X of CARAFE++ (arXiv:2012.04733), scaled down.
Cost: the quickstart's, times two resamplers, times the seeds.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv.
Command: python -m experiments.inpainting.compare_resamplers --base.data.source FOLDER
"""

import dataclasses
import functools
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models import Resampler
from carafe_jax.tasks.comparison import check_choices, repeat_over_seeds
from carafe_jax.tasks.inpainting import InpaintingRun


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each resampler and each seed."""

    base: InpaintingRun = InpaintingRun(
        workdir=pathlib.Path("runs/inpainting/comparison")
    )
    """What all runs share; its `workdir` holds a folder for each. Its resampler and
    seeds are those below."""
    resamplers: tuple[Resampler, ...] = ("carafe", "conv")
    """What to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        check_choices(resamplers=self.resamplers, seeds=self.seeds)


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""

    def make(resampler: Resampler, base: InpaintingRun) -> InpaintingRun:
        network = dataclasses.replace(base.network, resampler=resampler)
        return dataclasses.replace(base, network=network)

    methods = {name: functools.partial(make, name) for name in config.resamplers}
    return repeat_over_seeds(config.base, methods, seeds=config.seeds, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
