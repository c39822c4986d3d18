"""A run of any task: its configuration, training, and the table at the end."""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from rich.console import Console
from rich.text import Text

from carafe_jax.machine import describe_machine
from carafe_jax.tasks.run_folder import check_run, open_run
from carafe_jax.tasks.tables import (
    Column,
    Results,
    draw_table,
    read_table,
    write_table,
)
from carafe_jax.train import (
    CheckpointChoice,
    Loop,
    Optimization,
    Task,
    TrainState,
    Variables,
    changes_no_number,
    is_first,
    join_processes,
    restore_trained,
    train,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Start:
    """Weights that a run starts from."""

    model: pathlib.Path | None = None
    """Folder of the run that trained them. What fits by name and shape is loaded, and
    what was loaded, left new and left over is reported. None: the initializers."""
    which: CheckpointChoice = "best"
    """Its checkpoint."""

    def variables(self) -> Variables | None:
        """Return the weights; None where no run is given."""
        if self.model is None:
            return None
        best = open_run(self.model).config.best
        return restore_trained(self.model, best=best, which=self.which)[0]


class ReportingTask(Task, Protocol):
    """A task to train that also makes the table and the pictures at the end."""

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Measure a trained network; write pictures. Every process calls it."""
        ...


class SourcedData(Protocol):
    """What the data of every task say of themselves."""

    @property
    def source(self) -> str:
        """Where the images come from."""
        ...

    @property
    def seed(self) -> int:
        """Of the order of training."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What the runs of all tasks have in common."""

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
    data: SourcedData
    """Where the images come from."""
    optimizer: Optimization
    """How the loss is minimised."""
    start: Start = Start()
    """What the run starts from."""
    distributed: bool = changes_no_number(False)
    """This is one of several processes, one a host, that all run this command. They are
    recognised on Slurm, under Open MPI, on Kubernetes and on TPU pods; elsewhere
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID name them."""

    @property
    def network_name(self) -> str:
        """What the network is called in tables."""
        raise NotImplementedError

    @property
    def optimization(self) -> Optimization:
        """The optimizer as training uses it."""
        return self.optimizer

    def make_task(self) -> ReportingTask:
        """Open the data and make the networks."""
        raise NotImplementedError


def train_and_report(config: RunConfig, console: Console) -> int:
    """Train, or resume training; then write the table and show it.

    Args:
      config: Of a task.
      console: Where bar and table are drawn.

    Returns:
      The exit status: 0, or 128 and the number of the signal that ended training.

    Raises:
      RefusedError: The folder holds a run with another configuration, or a field, the
        data or the weights break a rule.
    """
    if config.distributed:
        join_processes()
    if not is_first():
        console = Console(quiet=True)
    check_run(config)
    with console.status("opening the data"):
        task = config.make_task()
    steps = config.loop.in_steps(task.steps_per_epoch).total_steps
    if _is_finished(config.workdir, steps):
        afresh = f"rm -r {shlex.quote(str(config.workdir))}"
        console.print(
            Text(
                f"This run is finished. A larger length makes it longer; {afresh} "
                "starts afresh."
            ),
            soft_wrap=True,
        )
        return show(config, console)
    machine = describe_machine()
    console.print(
        Text(
            f"{config.network_name}, {config.data.source}, {steps} steps, on "
            f"{machine.device}, {machine.cores} cores"
        )
    )
    if is_first():
        # Of a shorter length: a table marks a finished run.
        (config.workdir / "table.csv").unlink(missing_ok=True)
    outcome = train(
        task,
        optimizer=config.optimization,
        loop=config.loop,
        workdir=config.workdir,
        weights=config.start.variables(),
        console=console,
    )
    if outcome.interrupted_by is not None:
        step, name = int(outcome.state.step), outcome.interrupted_by.name
        console.print(
            f"Stopped by {name} after step {step} of {steps}. The same command resumes "
            "from here."
        )
        return 128 + outcome.interrupted_by
    with console.status("measuring the network on the test images"):
        results = task.report(outcome.state, workdir=config.workdir, console=console)
    if not is_first():
        return 0
    write_table(config.workdir / "table.csv", results)
    return show(config, console)


def show(config: RunConfig, console: Console) -> int:
    """Print the table of a finished run, and where its pictures are."""
    if not is_first():
        return 0
    results = read_table(config.workdir / "table.csv")
    steps = _provenance(config.workdir).get("steps")
    title = f"Test images of {config.data.source}, {steps} steps"
    console.print(draw_table(results, config.columns, title=title, label="method"))
    if (config.workdir / "samples.png").exists():
        console.print(Text(f"Pictures: {config.workdir / 'samples.png'}"))
    return 0


def _is_finished(workdir: pathlib.Path, steps: int) -> bool:
    done = _provenance(workdir).get("steps")
    return (workdir / "table.csv").exists() and done == steps


def _provenance(workdir: pathlib.Path) -> dict[str, Any]:
    path = workdir / "provenance.json"
    return json.loads(path.read_text()) if path.exists() else {}
