"""Train the quickstart's network with CARAFE++ and with plain layers, and compare.

Paper: table X of CARAFE++ (arXiv:2012.04733), scaled down, against plain layers.
Cost: nine runs of 9 to 13 minutes on one core, with 1000 steps of 16 crops.
Expected: CARAFE++ ahead, as in table X.
Reached: PSNR in the hole 21.15 dB; plain layers 21.06 dB with as many steps, 21.17 dB
with as much time; the starting fill 20.74 dB (2026-11-30). Without a starting fill
19.67 dB, plain layers 19.50 dB (2026-11-23).
Command: python -m experiments.inpainting.compare_resamplers --base.data.source FOLDER
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.arguments import check
from carafe_jax.cli.console import run
from carafe_jax.tasks.comparison import ComparisonConfig, repeat_over_seeds, with_fields
from carafe_jax.tasks.inpainting import InpaintingRun

_LABELS = {
    "carafe": "CARAFE++",
    "conv": "plain layers, as many steps",
    "conv_time": "plain layers, as much time",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(ComparisonConfig):
    """CARAFE++ against plain layers, with as many steps and with as much time."""

    base: InpaintingRun = InpaintingRun(
        workdir=pathlib.Path("runs/inpainting/comparison")
    )
    conv_time_factor: float = 1.4
    """Images/s of plain layers over those of CARAFE++, each alone on the machine; at
    least 1."""
    results: pathlib.Path = pathlib.Path(
        "experiments/results/inpainting/resamplers.csv"
    )


def main(config: Comparison, console: Console) -> int:
    """Train every run that has no row yet, then compare."""
    factor = config.conv_time_factor
    check("conv_time_factor", factor, "be at least 1", holds=factor >= 1)
    longer = round(factor * config.base.loop.total_steps)
    conv = with_fields(config.base, "network", resampler="conv")
    runs = {
        "carafe": with_fields(config.base, "network", resampler="carafe"),
        "conv": conv,
        "conv_time": with_fields(conv, "loop", steps=longer),
    }
    return repeat_over_seeds(config, runs, labels=_LABELS, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
