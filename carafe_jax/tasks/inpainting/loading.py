"""Loads the network of an inpainting run."""

import os
import pathlib

from carafe_jax.errors import no_type_check
from carafe_jax.tasks.inpainting.config import AdversarialInpaintingRun, InpaintingRun
from carafe_jax.tasks.inpainting.joint_variables import part
from carafe_jax.tasks.inpainting.prediction import TrainedInpainter
from carafe_jax.tasks.run_folder import open_run_of
from carafe_jax.train import CheckpointChoice, restore_trained


@no_type_check
def load(
    model: str | os.PathLike[str],
    *,
    which: CheckpointChoice = "best",
    argument: str = "model",
) -> TrainedInpainter:
    """Load a checkpoint of a run, with or without a discriminator.

    Args:
      model: Folder of the run.
      which: The checkpoint: the best by PSNR in the hole, or the last.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no inpainting run, or no such checkpoint.
    """
    model = pathlib.Path(model)
    config = open_run_of(
        model, (InpaintingRun, AdversarialInpaintingRun), argument=argument
    )
    variables, step = restore_trained(
        model, best=config.best, which=which, argument=argument
    )
    if isinstance(config, AdversarialInpaintingRun):
        network, variables = config.generator.make(), part(variables, "generator")
    else:
        network = config.network.make()
    return TrainedInpainter(network, variables, config.network_name, config.data, step)
