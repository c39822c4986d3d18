"""Loading of trained segmentation networks."""

import os
import pathlib

from carafe_jax.errors import no_type_check
from carafe_jax.tasks.run_folder import open_run_of
from carafe_jax.tasks.segmentation.config import SegmentationRun
from carafe_jax.tasks.segmentation.label_classes import LABEL_CLASSES_FILE
from carafe_jax.tasks.segmentation.prediction import TrainedSegmenter
from carafe_jax.tasks.segmentation.views import Views
from carafe_jax.train import CheckpointChoice, restore_trained


@no_type_check
def load(
    model: str | os.PathLike[str],
    *,
    which: CheckpointChoice = "best",
    views: Views | None = None,
    argument: str = "model",
) -> TrainedSegmenter:
    """Load a checkpoint of a run.

    Args:
      model: Folder of the run.
      which: The checkpoint: the best by mean IoU, or the last.
      views: Views of each photograph, whose probabilities are averaged. None: one, at
        the size of the run's test images.
      argument: Name of the argument that holds the folder, for errors.

    Raises:
      RefusedError: The folder holds no segmentation run, or no such checkpoint, or a
        short side of the views exceeds the limit of the long side.
    """
    model = pathlib.Path(model)
    config = open_run_of(model, (SegmentationRun,), argument=argument)
    views = views or Views()
    views.check_limits(config.data)
    classes = LABEL_CLASSES_FILE.read(model, argument=argument)
    variables, step = restore_trained(
        model, best=config.best, which=which, argument=argument
    )
    return TrainedSegmenter(
        network=config.network.make(len(classes.names)),
        variables=variables,
        name=config.network_name,
        dtype=config.network.dtype,
        align_corners=config.network.align_corners,
        classes=classes,
        data=config.data,
        step=step,
        views=views,
    )
