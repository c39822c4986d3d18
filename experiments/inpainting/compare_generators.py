"""Train the four networks of table X, small, over several seeds, and compare.

Paper: table X of CARAFE++ (arXiv:2012.04733), scaled down to two cores.
Cost: 12 runs of 500 steps, about four minutes each on two cores of an Intel Xeon.
Expected: CARAFE++ gains 1.35 dB in Global&Local, 0.27 dB in partial convolutions.
Reached: 0.55 and 0.36 dB in the hole (2026-11-26, 500 steps on 2,009 landscapes).
Command: python -m experiments.inpainting.compare_generators --base.data.source FOLDER
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.cli.console import run
from carafe_jax.models import GlobalLocalConfig, PatchGANConfig
from carafe_jax.tasks.comparison import ComparisonConfig, repeat_over_seeds, with_fields
from carafe_jax.tasks.inpainting import (
    AdversarialInpaintingRun,
    AdversarialOptimizers,
    InpaintingData,
)
from carafe_jax.train import Adam, Loop

_NETWORKS = {
    "global_local": {"convolution": "plain", "resampler": "conv"},
    "global_local_carafe": {"convolution": "plain", "resampler": "carafe"},
    "partial_conv": {"convolution": "partial", "resampler": "conv"},
    "partial_conv_carafe": {"convolution": "partial", "resampler": "carafe"},
}
_ADAM = Adam(learning_rate=1e-3, beta1=0.5, beta2=0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison(ComparisonConfig):
    """The same run with each network of table X and each seed."""

    base: AdversarialInpaintingRun = AdversarialInpaintingRun(
        generator=GlobalLocalConfig(width=16, compressed_channels=(16, 16)),
        discriminator=PatchGANConfig(features=(16, 32, 64, 64)),
        data=InpaintingData(crop_size=96, batch_size=8, test_crops=1),
        optimizer=AdversarialOptimizers(generator=_ADAM, discriminator=_ADAM),
        loop=Loop(steps=1000, evaluate_every=500, save_every=250),
        workdir=pathlib.Path("runs/inpainting/generators"),
    )
    results: pathlib.Path = pathlib.Path(
        "experiments/results/inpainting/generators.csv"
    )


def main(config: Comparison, console: Console) -> int:
    """Train every run that has no row yet, then compare."""
    runs = {k: with_fields(config.base, "generator", **v) for k, v in _NETWORKS.items()}
    return repeat_over_seeds(config, runs, console=console)


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
