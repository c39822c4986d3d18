"""The configuration of a run of any task."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

from rich.console import Console

from carafe_jax.arguments import check_choices
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.backbones.choices import StemChoice
from carafe_jax.tasks.data_fields import DataFields
from carafe_jax.tasks.tables import Column, Results
from carafe_jax.train import (
    CheckpointChoice,
    Loop,
    Optimizer,
    Task,
    TrainState,
    Variables,
    unstored_field,
)


@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Initial weights of a run."""

    model: pathlib.Path | None = None
    """Folder of the run that trained them. Arrays that match in name and shape are
    loaded; the log lists missing, reshaped and unexpected ones. The stems of two
    ResNets must be the same. None: the initializers."""
    which: CheckpointChoice = "best"
    """Checkpoint of that run: the best or the last."""
    weights: pathlib.Path | None = None
    """File of weights of PyTorch, .pth, .safetensors or .npz, in place of `model`: of
    torchvision's ResNets, for all tasks but inpainting; of mmdetection's detectors, for
    detection; of semseg's networks or CSAIL's encoders, for segmentation. Arrays are
    loaded as from `model`."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.model is not None and self.weights is not None:
            raise RefusedError(
                "One of `model` and `weights` must be None, got "
                f"{str(self.model)!r} and {str(self.weights)!r}."
            )


@runtime_checkable
class ReportingTask(Task, Protocol):
    """A task to train that also produces the final table and pictures."""

    def prepare(self, workdir: pathlib.Path) -> None:
        """Open the data; write what loading the run needs beside its configuration.

        Raises:
          RefusedError: The data cannot be used, or differ from those that the run in
            the folder started with.
        """
        ...

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Evaluate a trained network; write pictures. Every process must call it."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Fields common to the runs of all tasks."""

    task: ClassVar[str]
    """Name of the task in the registry and in config.json."""
    best: ClassVar[str]
    """Name of the scalar whose largest value marks the best checkpoint."""
    columns: ClassVar[Mapping[str, Column]]
    """Columns of the final table."""

    workdir: pathlib.Path = unstored_field(pathlib.Path("runs"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop
    """Length of the run, and intervals of logging, evaluation and saving."""
    data: DataFields
    """Source of the images."""
    optimizer: Optimizer
    """Optimizer and schedule."""
    start: Start = Start()
    """Initial weights."""
    distributed: bool = unstored_field(False)
    """Whether several processes run this command together, preferably one per host.
    They are detected on Slurm, under Open MPI, on Kubernetes and on TPU pods; elsewhere
    set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        raise NotImplementedError

    @property
    def stem(self) -> StemChoice | None:
        """Stem of the network's ResNet. None: it has none."""
        return None

    @property
    def optimization(self) -> Optimizer:
        """The optimizer as training uses it."""
        return self.optimizer

    def convert_weights(self, state_dict: Mapping[str, Any]) -> Variables:
        """Return the variables that a state dict of PyTorch holds for this network.

        Raises:
          RefusedError: The names or shapes are not those of a known network, or the
            task has no conversion.
        """
        del state_dict
        raise RefusedError(
            f"`start.weights` must be None for the task {self.task!r}, whose networks "
            "PyTorch's weights do not fit; `start.model` takes a run."
        )

    def make_task(self) -> ReportingTask:
        """Open the data and make the networks."""
        raise NotImplementedError
