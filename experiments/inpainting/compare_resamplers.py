"""Train the quickstart's network with CARAFE++ and with plain layers, and compare.

Paper: the question of table X of CARAFE++ (arXiv:2012.04733), scaled down.
Cost: six runs of 1000 steps, at 54 (CARAFE++) and 77 to 105 images/s on two cores of an
AMD EPYC.
Expected: CARAFE++ ahead, as in table X.
Reached: PSNR in the hole 19.67 ± 0.04 dB, plain 19.50 ± 0.02 dB (2026-11-23, 1000 steps
on 2,009 landscapes).
Command: python -m experiments.inpainting.compare_resamplers --base.data.source FOLDER
"""

import dataclasses
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
    """Shared by all runs; its `workdir` holds a folder for each."""
    resamplers: tuple[Resampler, ...] = ("carafe", "conv")
    """Options of the comparison."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        check_choices(resamplers=self.resamplers, seeds=self.seeds)


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""
    networks = {x: {"resampler": x} for x in config.resamplers}
    return repeat_over_seeds(config, networks, field="network", console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
