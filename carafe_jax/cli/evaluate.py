"""Evaluate a trained network on test images.

Shows: a table of the quality, also written to quality.csv in the output folder. For
detection, also per_class.csv, the detections as COCO results, and samples.png. For
segmentation, also per_class.csv and samples.png. For inpainting, also classic fills,
quality by kind and size of the hole, images.csv and samples.png.
Test images of the run: carafe-jax evaluate --model runs/inpainting/default
Other images: add --source FOLDER -o FOLDER
"""

import dataclasses
import pathlib
from typing import Annotated, NoReturn

import tyro
from rich.console import Console

from carafe_jax.arguments import check_count, errors_in_group
from carafe_jax.cli.console import run
from carafe_jax.cli.task_options import options_of
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_folder
from carafe_jax.tasks.classification.evaluation_options import (
    EvaluationOptions as ClassificationOptions,
)
from carafe_jax.tasks.detection.evaluation_options import (
    EvaluationOptions as DetectionOptions,
)
from carafe_jax.tasks.inpainting.evaluation import (
    EvaluationOptions as InpaintingOptions,
)
from carafe_jax.tasks.run_folder import open_run
from carafe_jax.tasks.segmentation.evaluation_options import (
    EvaluationOptions as SegmentationOptions,
)
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """A trained network, and test images."""

    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best or the last."""
    source: str | None = None
    """Source of the test images, as `data.source` of a run; only its test split is
    used. A folder without the sub-folders `train` and `val` is split by the
    `data.test_fraction` of the run. None: the source of the run."""
    batch_size: int = 16
    """Images per batch; with sliding windows of segmentation, windows."""
    output: Annotated[pathlib.Path | None, tyro.conf.arg(aliases=("-o",))] = None
    """Folder to write to; required with `source`. None: `evaluation` in the folder of
    the run."""
    # Groups of options are named after the packages of the tasks.
    classification: ClassificationOptions = ClassificationOptions()
    """Options for classification runs only."""
    detection: DetectionOptions = DetectionOptions()
    """Options for detection runs only."""
    segmentation: SegmentationOptions = SegmentationOptions()
    """Options for segmentation runs only."""
    inpainting: InpaintingOptions = InpaintingOptions()
    """Options for inpainting runs only."""

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        if self.source is not None and self.output is None:
            raise RefusedError(
                "`output` must be given with `source`, got None: `evaluation` in the "
                "folder of the run is for its own test images."
            )


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Evaluate, doc=__doc__, program="carafe-jax evaluate", args=args)


def main(config: Evaluate, console: Console) -> int:
    """Evaluate the network as its task defines."""
    opened = open_run(config.model)
    output = config.output or config.model / "evaluation"
    check_folder("output", output)
    groups = {
        "classification": config.classification,
        "detection": config.detection,
        "inpainting": config.inpainting,
        "segmentation": config.segmentation,
    }
    options = options_of(
        opened.task.package,
        groups,
        given_for=f"{str(config.model)!r}, of the task {opened.config.task!r}",
    )
    with errors_in_group(opened.task.package, type(options)):
        opened.task.evaluation.evaluate(
            config.model,
            which=config.which,
            source=config.source,
            batch_size=config.batch_size,
            output=output,
            options=options,
            console=console,
        )
    return 0
