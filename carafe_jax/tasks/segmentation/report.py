"""The final numbers and pictures of a segmentation run."""

import pathlib

from PIL import Image

from carafe_jax.tasks.segmentation.evaluator import SegmentationEvaluator
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.quality import write_per_class
from carafe_jax.tasks.tables import Results
from carafe_jax.train import TrainState, is_first


def report_label_maps(
    evaluator: SegmentationEvaluator,
    state: TrainState,
    *,
    classes: LabelClasses,
    network_name: str,
    workdir: pathlib.Path,
) -> Results:
    """Evaluate a trained network; write per_class.csv and samples.png.

    Every process must call it: all evaluate the network, the first writes the files.

    Args:
      evaluator: Evaluator of the network.
      state: State of the network.
      classes: Classes of the data.
      network_name: Name of the network in the table.
      workdir: Folder of the run.

    Returns:
      Scores on the test set, by the name of the network.
    """
    quality = evaluator.measure_state(state)
    pictures = evaluator.draw(state)
    if is_first():
        measured = {network_name: quality}
        write_per_class(workdir / "per_class.csv", measured, classes=classes.names)
        Image.fromarray(pictures["samples"]).save(workdir / "samples.png")
    return {network_name: quality.numbers}
