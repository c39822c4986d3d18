"""Train the quickstart's network with CARAFE++ and with plain layers, and compare.

Paper: the question of table X of CARAFE++ (arXiv:2012.04733), scaled down.
Cost: the quickstart's, times two resamplers, times the seeds.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv.
Command: python -m experiments.inpainting.compare_resamplers --base.data.source FOLDER
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.models import Resampler
from carafe_jax.train import run
from experiments.inpainting import quickstart, seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each resampler and each seed."""

    base: quickstart.Quickstart = quickstart.Quickstart(
        workdir=pathlib.Path("runs/inpainting/comparison")
    )
    """What all runs share; its `workdir` holds a folder for each. Its resampler and
    seeds are those below."""
    resamplers: tuple[Resampler, ...] = ("carafe", "conv")
    """What to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        seeds.check_choices(resamplers=self.resamplers, seeds=self.seeds)


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""
    base = config.base
    runs = [
        _run_of(base, resampler, seed)
        for seed in config.seeds
        for resampler in config.resamplers
    ]
    return seeds.compare(
        quickstart.main,
        {(one.model.name, one.loop.seed): one for one in runs},
        workdir=base.workdir,
        title=(
            f"{base.data.source}, {base.loop.steps} steps, "
            f"{len(config.seeds)} seeds: mean ± standard deviation"
        ),
        console=console,
    )


def _run_of(
    base: quickstart.Quickstart, resampler: Resampler, seed: int
) -> quickstart.Quickstart:
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, resampler=resampler),
        data=dataclasses.replace(base.data, seed=seed),
        loop=dataclasses.replace(base.loop, seed=seed),
        workdir=base.workdir / f"{resampler}-{seed}",
    )


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
