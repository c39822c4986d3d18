"""The training loop."""

import contextlib
import dataclasses
import itertools
import logging
import pathlib
import signal
import time
from collections.abc import Iterator

import jax
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from carafe_jax.errors import RefusedError
from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.config import Loop
from carafe_jax.train.interruption import noted_interruption
from carafe_jax.train.mesh import make_mesh, put_batch
from carafe_jax.train.optimizers import Optimization
from carafe_jax.train.processes import is_first, signal_of_any
from carafe_jax.train.records import Records
from carafe_jax.train.state import TrainState
from carafe_jax.train.step import init_state, make_train_step
from carafe_jax.train.task import Draws, Scalars, Task

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
    optimizer: Optimization,
    loop: Loop,
    workdir: pathlib.Path,
    console: Console | None = None,
) -> Outcome:
    """Train a task, or go on with it where its folder has a checkpoint.

    At each step, in this order:

    1. evaluate, and draw if the task does, if it is time, so that numbers and weights
       of a checkpoint agree; a signal waits for this, so that a resumed run has the
       same records;
    2. save the state and the position of the data, before the next batch is taken;
    3. leave, if all steps are done or a signal came;
    4. take a batch and make the step;
    5. log, and stop if the loss is not finite. Nothing that is not finite is saved.

    A run that was interrupted and goes on ends with the same bits as one that was not.

    Several processes (`join_processes`) call this alike. Each takes its part of the
    batches; all save into the same folder; the first writes the records and draws the
    progress bar. A signal to any of them stops all, when scalars are logged next.

    Args:
      task: What to learn.
      optimizer: How.
      loop: How long.
      workdir: Folder of checkpoints, `scalars.csv`, `pictures` and TensorBoard's files;
        one that all processes see.
      console: Where the progress bar is drawn; None draws none.

    Raises:
      RefusedError: The folder has a checkpoint from after `loop.steps`.
      NotFiniteError: The loss or the gradient is NaN or infinite.
    """
    mesh = make_mesh()
    batches = task.batches()
    state = init_state(task, optimizer, loop, mesh=mesh)
    checkpoints = Checkpoints(workdir, best=task.best)
    start = checkpoints.last_step or 0
    if start > loop.steps:
        raise RefusedError(
            f"`loop.steps` must be at least {start}, the step of the last checkpoint "
            f"in {workdir}, got {loop.steps}."
        )
    if start:
        state = checkpoints.restore(state, batches, step=start)
        _LOGGER.info("Going on from step %d of %d.", start, loop.steps)
    train_step = make_train_step(task, loop, mesh=mesh)
    records = Records(workdir, step=start, writes=is_first())
    log = _Log(records)
    with (
        contextlib.closing(checkpoints),
        contextlib.closing(records),
        noted_interruption() as interruption,
        _progress(console if is_first() else None, start, loop.steps) as report,
    ):
        step, alone = start, jax.process_count() == 1
        while True:
            last, scalars = step == loop.steps, None
            evaluating = last or step % loop.evaluate_every == 0
            # Looked at once: a signal that comes later is answered after the next step.
            stopped_by = None
            if alone or evaluating or step % loop.log_every == 0:
                stopped_by = signal_of_any(interruption.signal)
            saving = evaluating or step % loop.save_every == 0 or stopped_by is not None
            if saving and step > start:
                report(step, log.flush())
                if evaluating:
                    scalars = task.evaluate(state)
                    records.write(step, "test", scalars)
                    if isinstance(task, Draws):
                        records.write_pictures(step, task.draw(state))
                checkpoints.save(state, batches, scalars)
                log.restart_clock()
            if last or stopped_by is not None:
                break
            batch = put_batch(next(batches), mesh=mesh)
            with jax.transfer_guard("disallow"):
                state, step_scalars = train_step(state, batch)
            step += 1
            log.add(step, step_scalars, examples=_examples(batch))
            if step % loop.log_every == 0:
                report(step, log.flush())
    return Outcome(state, scalars, None if last else stopped_by)


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
        finite = list(itertools.takewhile(_is_finite, pending))
        means: dict[str, float] = {}
        if finite:
            names = finite[0][1]
            means = {n: float(np.mean([s[n] for _, s in finite])) for n in names}
            seconds = time.perf_counter() - self._start
            means["images_per_second"] = self._examples / seconds
            self._records.write(finite[-1][0], "train", means)
        if len(finite) < len(pending):
            step, scalars = pending[len(finite)]
            raise NotFiniteError(_explanation(step, scalars))
        self._pending, self._examples = [], 0
        self.restart_clock()
        return means

    def restart_clock(self) -> None:
        """Leave out of the speed what was not training."""
        self._start = time.perf_counter()


def _is_finite(entry: tuple[int, Scalars]) -> bool:
    _, scalars = entry
    return bool(np.isfinite([scalars["loss"], scalars["gradient_norm"]]).all())


def _explanation(step: int, scalars: Scalars) -> str:
    return (
        f"The loss is {scalars['loss']} and the gradient norm "
        f"{scalars['gradient_norm']} at step {step}; nothing was saved since they "
        "stopped being finite. See in `scalars.csv` when they began to grow, and start "
        "afresh, in another `workdir`, with a smaller `optimizer.learning_rate` or "
        "`optimizer.clip_norm` or a longer `optimizer.warmup_steps`."
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
            if not scalars:
                return
            loss, speed = scalars["loss"], scalars["images_per_second"]
            numbers = f"loss {loss:.4f}, {speed:.0f} images/s"
            progress.update(bar, completed=step, numbers=numbers)

        yield report
