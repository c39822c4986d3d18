"""Registry of the tasks, by their names on the command line and in config.json.

It imports no module of a task, so that every one of them may import it.
"""

import dataclasses
import importlib
import pathlib
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from rich.console import Console

    from carafe_jax.tasks.data_check import DataCheckModule
    from carafe_jax.tasks.run_config import RunConfig
    from carafe_jax.train import CheckpointChoice


@runtime_checkable
class EvaluationModule(Protocol):
    """Interface of the module `evaluation` of a task's package."""

    def evaluate(
        self,
        model: pathlib.Path,
        *,
        which: "CheckpointChoice",
        source: str | None,
        batch_size: int,
        output: pathlib.Path,
        options: Any,
        console: "Console",
    ) -> None:
        """Evaluate a trained network on test images; print and write the results."""
        ...


@dataclasses.dataclass(frozen=True)
class RegisteredTask:
    """A registered task."""

    package: str
    """Name of the task's package in `carafe_jax.tasks`."""
    run: str
    """Name of the class of a run's configuration, in the package's module `config`."""
    summary: str
    """Description of the task in one line, for `--help`."""

    @property
    def run_class(self) -> "type[RunConfig]":
        """Class of a run's configuration."""
        return getattr(self._module("config"), self.run)

    def default_run(self) -> "RunConfig":
        """Return the configuration of a run with its defaults."""
        return cast(Any, self.run_class)()

    @property
    def evaluation(self) -> EvaluationModule:
        """Module that evaluates a trained network."""
        return cast(EvaluationModule, self._module("evaluation"))

    @property
    def data_check(self) -> "DataCheckModule":
        """Module that opens data for `check-data`."""
        return cast("DataCheckModule", self._module("data_check"))

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"carafe_jax.tasks.{self.package}.{name}")


TASKS = {
    "classification": RegisteredTask(
        "classification",
        "ClassificationRun",
        "Train a ResNet on labelled images; the defaults are those of ImageNet.",
    ),
    "detection": RegisteredTask(
        "detection",
        "DetectionRun",
        "Train a detector on annotated photographs; the defaults are those of COCO.",
    ),
    "segmentation": RegisteredTask(
        "segmentation",
        "SegmentationRun",
        "Train a network that classifies each pixel; the defaults are those of ADE20K.",
    ),
    "inpainting": RegisteredTask(
        "inpainting",
        "InpaintingRun",
        "Train a U-Net to fill holes in photographs.",
    ),
    "adversarial-inpainting": RegisteredTask(
        "inpainting",
        "AdversarialInpaintingRun",
        "Train a generator to fill holes, against a discriminator.",
    ),
}
