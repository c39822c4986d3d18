"""The final numbers and pictures of a detection run."""

import pathlib

from PIL import Image

from carafe_jax.tasks.detection.evaluator import DetectorEvaluator
from carafe_jax.tasks.detection.quality import write_per_class
from carafe_jax.tasks.tables import Results
from carafe_jax.train import TrainState, is_first


def report_detections(
    evaluator: DetectorEvaluator,
    state: TrainState,
    *,
    network_name: str,
    workdir: pathlib.Path,
) -> Results:
    """Evaluate a trained network; write per_class.csv and samples.png.

    Every process must call it: all evaluate the network, the first writes the files.

    Args:
      evaluator: Evaluator of the network.
      state: State of the network.
      network_name: Name of the network in the table.
      workdir: Folder of the run.

    Returns:
      COCO's numbers of the test set, by the name of the network.
    """
    quality = evaluator.measure_state(state)
    pictures = evaluator.draw(state)
    if is_first():
        write_per_class(workdir / "per_class.csv", {network_name: quality})
        Image.fromarray(pictures["samples"]).save(workdir / "samples.png")
    return {network_name: quality.numbers}
