"""An adversarial inpainting run: its configuration, and training."""

import dataclasses
import pathlib

import optax
from rich.console import Console

from carafe_jax.data import FreeFormHoles
from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.train import Loop, Optimizer, join_processes
from experiments.inpainting.adversarial_task import PARTS, AdversarialTask, Adversary
from experiments.inpainting.generators import Discriminator, Generator
from experiments.inpainting.task import Loss
from experiments.inpainting.training import train_and_report

_ADAM = Optimizer(
    learning_rate=1e-4, beta1=0.5, beta2=0.9, decay="none", warmup_steps=0
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizers:
    """One for each network; Adam as in section 5.1."""

    generator: Optimizer = _ADAM
    """Of the generator."""
    discriminator: Optimizer = _ADAM
    """Of the discriminator."""

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """Return the optax transformation of both for a run of `steps`."""
        return optax.partition(
            {name: getattr(self, name).transformation(steps) for name in PARTS},
            {name: name for name in PARTS},
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adversarial:
    """Train a generator against a PatchGAN (section 5.1, Image Inpainting)."""

    workdir: pathlib.Path = dataclasses.field(metadata={"compared": False})
    """Folder of the run. The same command goes on where it stopped."""
    generator: Generator = Generator()
    """The network that fills."""
    discriminator: Discriminator = Discriminator()
    """The network that judges."""
    data: InpaintingData = InpaintingData(
        source="tfds:places365_small",
        crop_size=256,
        batch_size=32,
        # Without the rectangles of the default: strokes alone, as in the paper.
        masks=FreeFormHoles(rectangles=(0, 0)),
        test_crops=1,
        test_photographs=2000,
    )
    """Photographs and holes."""
    loss: Loss = Loss(hole=1.0, given=1.0)
    """Of the reconstruction."""
    adversary: Adversary = Adversary()
    """Of the game."""
    optimizer: Optimizers = Optimizers()
    """How."""
    loop: Loop = Loop(steps=300_000, evaluate_every=10_000, save_every=2_000)
    """How long."""
    distributed: bool = dataclasses.field(default=False, metadata={"compared": False})
    """This is one of several processes, one a host, that all run this command; see
    docs/scaling.md."""
    sample_rows: int = dataclasses.field(default=6, metadata={"compared": False})
    """Pictures in samples.png."""


def main(config: Adversarial, console: Console) -> int:
    """Train, or go on training; then draw the samples and print the table."""
    if config.distributed:
        join_processes()
    task = AdversarialTask(
        config.generator.make(),
        config.discriminator.make(),
        config.data,
        loss=config.loss,
        adversary=config.adversary,
    )
    return train_and_report(config, task, method=config.generator.name, console=console)
