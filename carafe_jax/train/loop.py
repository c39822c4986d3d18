"""The training loop."""

import contextlib
import dataclasses
import logging
import pathlib
import signal
import time
from collections.abc import Iterator

import jax
import numpy as np
from flax.training.train_state import TrainState
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.config import Loop, Optimizer
from carafe_jax.train.interruption import noted_interruption
from carafe_jax.train.mesh import make_mesh, put_batch
from carafe_jax.train.records import Records
from carafe_jax.train.step import init_state, make_train_step
from carafe_jax.train.task import Scalars, Task

_LOGGER = logging.getLogger(__name__)


class NotFiniteError(ArithmeticError):
    """The loss or the gradient became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    state: TrainState
    scalars: dict[str, float] | None
    """The last evaluation; None where the run was interrupted or had ended before."""
    interrupted_by: signal.Signals | None


def train(
    task: Task,
    *,
    optimizer: Optimizer,
    loop: Loop,
    workdir: pathlib.Path,
    console: Console | None = None,
) -> Outcome:
    """Train a task, or go on with it where its folder has a checkpoint.

    At each step, in this order:

    1. evaluate, so that numbers and weights of a checkpoint agree;
    2. save the state and the position of the data, before the next batch is taken;
    3. leave, if all steps are done or a signal came;
    4. take a batch and make the step;
    5. log, and stop if the loss is not finite. Nothing that is not finite is saved.

    A run that was interrupted and goes on ends with the same bits as one that was not.

    Args:
      task: What to learn.
      optimizer: How.
      loop: How long.
      workdir: Folder of checkpoints, `scalars.csv` and TensorBoard's files.
      console: Where the progress bar is drawn; None draws none.

    Raises:
      NotFiniteError: The loss or the gradient is NaN or infinite.
    """
    mesh = make_mesh()
    batches = task.batches()
    state = init_state(task, optimizer, loop, mesh=mesh)
    checkpoints = Checkpoints(workdir, best=task.best)
    start = checkpoints.last_step
    if start is not None:
        state = checkpoints.restore(state, batches, step=start)
        _LOGGER.info("Going on from step %d of %d.", start, loop.steps)
    start = start or 0
    train_step = make_train_step(task, loop, mesh=mesh)
    records = Records(workdir, step=start)
    log = _Log(records)
    with (
        contextlib.closing(checkpoints),
        contextlib.closing(records),
        noted_interruption() as interruption,
        _progress(console, start, loop.steps) as report,
    ):
        step = start
        while True:
            last, resumed = step == loop.steps, step == start
            evaluating = (last or step % loop.evaluate_every == 0) and not interruption
            saving = last or step % loop.save_every == 0 or interruption
            scalars = None
            if (evaluating or saving) and not resumed:
                log.flush()
                if evaluating:
                    scalars = task.evaluate(state)
                    records.write(step, "test", scalars)
                if saving:
                    checkpoints.save(state, batches, scalars)
                log.restart_clock()
            if last or interruption:
                break
            batch = put_batch(next(batches), mesh=mesh)
            with jax.transfer_guard("disallow"):
                state, step_scalars = train_step(state, batch)
            step += 1
            log.add(step, step_scalars, examples=_examples(batch))
            if step % loop.log_every == 0:
                report(step, log.flush())
    return Outcome(state, scalars, None if last else interruption.signal)


class _Log:
    """Scalars of steps since the last flush, still on their devices."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._pending: list[tuple[int, Scalars]] = []
        self._examples = 0
        self.restart_clock()

    def add(self, step: int, scalars: Scalars, *, examples: int) -> None:
        self._pending.append((step, scalars))
        self._examples += examples

    def flush(self) -> dict[str, float]:
        """Fetch and write the means since the last flush; refuse what is not finite."""
        if not self._pending:
            return {}
        pending = [(step, jax.device_get(scalars)) for step, scalars in self._pending]
        for step, scalars in pending:
            _check_finite(step, scalars)
        seconds = time.perf_counter() - self._start
        names = pending[0][1]
        means = {n: float(np.mean([s[n] for _, s in pending])) for n in names}
        means["images_per_second"] = self._examples / seconds
        self._records.write(pending[-1][0], "train", means)
        self._pending, self._examples = [], 0
        self.restart_clock()
        return means

    def restart_clock(self) -> None:
        """Leave out of the speed what was not training."""
        self._start = time.perf_counter()


def _check_finite(step: int, scalars: Scalars) -> None:
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(scalars[name]):
            raise NotFiniteError(
                f"The {name.replace('_', ' ')} is {scalars[name]} at step {step}. Look "
                "at `scalars.csv` for when it began to grow; a smaller "
                "`optimizer.learning_rate`, a longer `optimizer.warmup_steps` or a "
                "smaller `optimizer.clip_norm` may help. The last checkpoint is from "
                "before."
            )


def _examples(batch: dict[str, jax.Array]) -> int:
    return next(iter(batch.values())).shape[0]


@contextlib.contextmanager
def _progress(console: Console | None, start: int, steps: int) -> Iterator:
    """Draw a progress bar; yields what is called with a step and its scalars."""
    with Progress(
        TextColumn("training"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[numbers]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=console is None,
    ) as progress:
        bar = progress.add_task(
            "train", total=steps, completed=start, numbers="compiling"
        )

        def report(step: int, scalars: dict[str, float]) -> None:
            loss, speed = scalars["loss"], scalars["images_per_second"]
            numbers = f"loss {loss:.4f}, {speed:.0f} images/s"
            progress.update(bar, completed=step, numbers=numbers)

        yield report
