"""Loads the network of a classification run."""

import os
import pathlib

from carafe_jax.errors import no_type_check
from carafe_jax.tasks.classification.classes import CLASSES_FILE
from carafe_jax.tasks.classification.config import ClassificationRun
from carafe_jax.tasks.classification.prediction import TrainedClassifier
from carafe_jax.tasks.run_folder import open_run_of
from carafe_jax.train import CheckpointChoice, restore_trained


@no_type_check
def load(
    model: str | os.PathLike[str],
    *,
    which: CheckpointChoice = "best",
    argument: str = "model",
) -> TrainedClassifier:
    """Load a checkpoint of a run.

    Args:
      model: Folder of the run.
      which: The checkpoint: the best by top-1, or the last.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no classification run, or no such checkpoint.
    """
    model = pathlib.Path(model)
    config = open_run_of(model, (ClassificationRun,), argument=argument)
    classes = CLASSES_FILE.read(model, argument=argument)
    variables, step = restore_trained(
        model, best=config.best, which=which, argument=argument
    )
    return TrainedClassifier(
        network=config.network.make(len(classes)),
        variables=variables,
        name=config.network_name,
        dtype=config.network.dtype,
        classes=classes,
        data=config.data,
        step=step,
    )
