"""The configuration of a run of any task."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

from rich.console import Console

from carafe_jax.tasks.data_fields import DataFields
from carafe_jax.tasks.tables import Column, Results
from carafe_jax.train import (
    CheckpointChoice,
    Loop,
    Optimizer,
    Task,
    TrainState,
    changes_no_number,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Weights that a run starts from."""

    model: pathlib.Path | None = None
    """Folder of the run that trained them. What fits by name and shape is loaded, and
    what was loaded, left new and left over is reported. None: the initializers."""
    which: CheckpointChoice = "best"
    """Its checkpoint."""


@runtime_checkable
class ReportingTask(Task, Protocol):
    """A task to train that also makes the table and the pictures at the end."""

    def prepare(self, workdir: pathlib.Path) -> None:
        """Write what loading the run needs beside its configuration.

        Raises:
          RefusedError: The data are not those that the run in the folder has begun
            with.
        """
        ...

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Measure a trained network; write pictures. Every process calls it."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Fields common to the runs of all tasks."""

    task: ClassVar[str]
    """Name of the task in the registry and in config.json."""
    best: ClassVar[str]
    """Name of the scalar that is largest at the best checkpoint."""
    columns: ClassVar[Mapping[str, Column]]
    """Of the table at the end."""

    workdir: pathlib.Path = changes_no_number(pathlib.Path("runs"))
    """Folder of the run. The same command resumes where it stopped."""
    loop: Loop
    """Length of the run, and how often it logs, evaluates and saves."""
    data: DataFields
    """Source of the images."""
    optimizer: Optimizer
    """Optimizer and schedule."""
    start: Start = Start()
    """Weights that the run starts from."""
    distributed: bool = changes_no_number(False)
    """This is one of several processes that run this command, preferably one a host.
    They are recognised on Slurm, under Open MPI, on Kubernetes and on TPU pods;
    elsewhere JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID name
    them."""

    @property
    def network_name(self) -> str:
        """Name of the network in tables."""
        raise NotImplementedError

    @property
    def optimization(self) -> Optimizer:
        """The optimizer as training uses it."""
        return self.optimizer

    def make_task(self) -> ReportingTask:
        """Open the data and make the networks."""
        raise NotImplementedError
