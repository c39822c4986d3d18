"""Train a CARAFE++ U-Net to fill holes in photographs, in minutes on a laptop.

Paper: the inpainting set-up of CARAFE++ (arXiv:2012.04733, section 4.3), scaled down: a
small U-Net, no discriminator, free-form holes after Yu et al. (arXiv:1806.03589).
Cost: about three minutes on two cores.
Shows: samples.png and a table of L1, PSNR and SSIM beside two classic fills.
Command: python -m experiments.inpainting.quickstart
Other pictures: add --data.source FOLDER --workdir runs/inpainting/FOLDER
Without CARAFE++: add --model.resampler conv --workdir runs/inpainting/conv
"""

import dataclasses
import pathlib

from rich.console import Console

from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.train import Loop, Optimizer, run
from experiments.inpainting.network import Model
from experiments.inpainting.task import InpaintingTask, Loss
from experiments.inpainting.training import train_and_report


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quickstart:
    """An inpainting run."""

    model: Model = Model()
    """The network."""
    data: InpaintingData = InpaintingData(
        crop_size=64, batch_size=8, colours="shuffled"
    )
    """Photographs and holes."""
    loss: Loss = Loss()
    """What is minimised."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-3)
    """How."""
    loop: Loop = Loop(steps=600, evaluate_every=300, save_every=300)
    """How long."""
    workdir: pathlib.Path = dataclasses.field(
        default=pathlib.Path("runs/inpainting/quickstart"), metadata={"compared": False}
    )
    """Folder of the run. The same command goes on where it stopped."""
    sample_rows: int = dataclasses.field(default=6, metadata={"compared": False})
    """Pictures in samples.png."""


def main(config: Quickstart, console: Console) -> int:
    """Train, or go on training; then draw the samples and print the table."""
    task = InpaintingTask(config.model, config.loss, config.data)
    return train_and_report(config, task, method=config.model.name, console=console)


if __name__ == "__main__":
    run(main, Quickstart(), doc=__doc__)
