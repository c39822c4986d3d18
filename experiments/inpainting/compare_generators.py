"""Train the four networks of table X, small, over several seeds, and compare.

Paper: table X of CARAFE++ (arXiv:2012.04733), scaled down to two cores.
Cost: minutes for each of the four networks and each seed.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv;
samples.png in the folder of each run.
Command: python -m experiments.inpainting.compare_generators --base.data.source FOLDER
"""

import dataclasses
import pathlib
from typing import Literal

from rich.console import Console

from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.train import Loop, Optimizer, run
from experiments.inpainting import adversarial, seeds
from experiments.inpainting.generators import Discriminator, Generator

Network = Literal[
    "global_local", "global_local_carafe", "partial_conv", "partial_conv_carafe"
]

_SMALL_ADAM = Optimizer(learning_rate=1e-3, beta1=0.5, beta2=0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each network and each seed."""

    base: adversarial.Adversarial = adversarial.Adversarial(
        generator=Generator(width=16, compressed_channels=(16, 16)),
        discriminator=Discriminator(features=(16, 32, 64, 64)),
        data=InpaintingData(crop_size=96, batch_size=8, test_crops=1),
        optimizer=adversarial.Optimizers(
            generator=_SMALL_ADAM, discriminator=_SMALL_ADAM
        ),
        loop=Loop(steps=1000, evaluate_every=500, save_every=250),
        workdir=pathlib.Path("runs/inpainting/generators"),
    )
    """What all runs share; its `workdir` holds a folder for each. Its generator's
    convolution and resampler and its seeds are those below."""
    networks: tuple[Network, ...] = (
        "global_local",
        "global_local_carafe",
        "partial_conv",
        "partial_conv_carafe",
    )
    """The rows of table X to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        seeds.check_choices(networks=self.networks, seeds=self.seeds)


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""
    base = config.base
    runs = [
        _run_of(base, network, seed)
        for seed in config.seeds
        for network in config.networks
    ]
    return seeds.compare(
        adversarial.main,
        {(one.generator.name, one.loop.seed): one for one in runs},
        workdir=base.workdir,
        title=(
            f"{base.data.source}, {base.loop.steps} steps, "
            f"{len(config.seeds)} seeds: mean ± standard deviation"
        ),
        console=console,
    )


def _run_of(
    base: adversarial.Adversarial, network: Network, seed: int
) -> adversarial.Adversarial:
    generator = dataclasses.replace(
        base.generator,
        convolution="partial" if network.startswith("partial") else "plain",
        resampler="carafe" if network.endswith("carafe") else "conv",
    )
    return dataclasses.replace(
        base,
        generator=generator,
        data=dataclasses.replace(base.data, seed=seed),
        loop=dataclasses.replace(base.loop, seed=seed),
        workdir=base.workdir / f"{network}-{seed}",
    )


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
