"""A finished or running inpainting run, loaded to be used."""

import dataclasses
import json
import pathlib

from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.data import InpaintingData
from carafe_jax.train import Variables, Which, restore_part, restore_trained
from experiments.inpainting.adversarial_task import part
from experiments.inpainting.generators import Generator
from experiments.inpainting.network import Model


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network that fills holes, its variables, and what it was trained on."""

    network: nn.Module
    variables: Variables
    name: str
    """What the network is called in tables."""
    data: InpaintingData
    step: int


def load(workdir: pathlib.Path, *, which: Which) -> Trained:
    """Load a checkpoint of a run, with or without a discriminator.

    Args:
      workdir: Folder of the run.
      which: The checkpoint: the best by PSNR in the hole, or the last.

    Raises:
      RefusedError: The folder holds no such checkpoint.
    """
    if not all((workdir / name).exists() for name in ("config.json", "checkpoints")):
        raise RefusedError(
            f"The folder of an inpainting run is needed, with config.json and "
            f"checkpoints, got {str(workdir)!r}. "
            "`python -m experiments.inpainting.quickstart` makes one in minutes, in "
            "runs/inpainting/quickstart."
        )
    adversarial = "generator.width" in json.loads((workdir / "config.json").read_text())
    if adversarial:
        model = restore_part(workdir, "generator", Generator)
    else:
        model = restore_part(workdir, "model", Model)
    data = restore_part(workdir, "data", InpaintingData)
    variables, step = restore_trained(workdir, best="hole_psnr", which=which)
    return Trained(
        network=model.make(),
        variables=part(variables, "generator") if adversarial else variables,
        name=model.name,
        data=data,
        step=step,
    )
