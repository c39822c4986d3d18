"""The tasks by the names that command lines and runs use.

It names modules and imports none, so that every module of a task may import this one.
"""

import dataclasses
import importlib
import pathlib
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    from rich.console import Console

    from carafe_jax.tasks.run_config import RunConfig
    from carafe_jax.train import CheckpointChoice


@runtime_checkable
class EvaluationModule(Protocol):
    """The module `evaluation` of a task's package."""

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
        """Measure a trained network on test images; print and write the numbers."""
        ...


@dataclasses.dataclass(frozen=True)
class RegisteredTask:
    """Entry of a task."""

    package: str
    """Package of the task, by its name in `carafe_jax.tasks`."""
    run: str
    """Class in the package's module `config`: the configuration of a run."""
    summary: str
    """The task in one line of help."""

    @property
    def run_class(self) -> "type[RunConfig]":
        """Class of a run's configuration."""
        return getattr(self._module("config"), self.run)

    def default_run(self) -> "RunConfig":
        """Return the configuration of a run with its defaults."""
        return cast(Any, self.run_class)()

    @property
    def evaluation(self) -> EvaluationModule:
        """Module that measures a trained network."""
        return cast(EvaluationModule, self._module("evaluation"))

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"carafe_jax.tasks.{self.package}.{name}")


TASKS = {
    "classification": RegisteredTask(
        "classification",
        "ClassificationRun",
        "Train a ResNet on labelled images; the defaults are those of ImageNet.",
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
