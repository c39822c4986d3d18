"""The tasks by the names that command lines and runs use; imports none of them."""

import dataclasses
import importlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class RegisteredTask:
    """Where the code of a task is, and what it does in one line."""

    package: str
    """Module with the functions `evaluate` and `load`."""
    run: str
    """Class in the module `config` of that package: the configuration of a run."""
    summary: str

    def module(self, name: str) -> Any:
        """Import one of the modules that every task's package has."""
        return importlib.import_module(f"{self.package}.{name}")

    @property
    def run_class(self) -> type[Any]:
        """The class of a run's configuration."""
        return getattr(self.module("config"), self.run)


TASKS = {
    "classification": RegisteredTask(
        "carafe_jax.tasks.classification",
        "ClassificationRun",
        "Train a ResNet on labelled images.",
    ),
    "inpainting": RegisteredTask(
        "carafe_jax.tasks.inpainting",
        "InpaintingRun",
        "Train a U-Net to fill holes in photographs.",
    ),
    "adversarial-inpainting": RegisteredTask(
        "carafe_jax.tasks.inpainting",
        "AdversarialInpaintingRun",
        "Train a generator to fill holes, against a discriminator.",
    ),
}
