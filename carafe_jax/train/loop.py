"""The training loop."""

import contextlib
import copy
import dataclasses
import functools
import logging
import pathlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
from rich.console import Console

from carafe_jax.errors import RefusedError
from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.evaluators import check_evaluators, due
from carafe_jax.train.interruption import (
    BatchTimeoutError,
    Interruption,
    defer_signals,
)
from carafe_jax.train.log import NotFiniteError, TrainingLog
from carafe_jax.train.loop_config import Loop
from carafe_jax.train.mesh import describe_devices, make_mesh, put_batch
from carafe_jax.train.optimizers import Optimizer, rate_at
from carafe_jax.train.processes import call_on_first, is_first, signal_of_any
from carafe_jax.train.progress import ProgressDisplay, show_progress
from carafe_jax.train.provenance import Provenance
from carafe_jax.train.records import Records
from carafe_jax.train.start import StartReport, begin
from carafe_jax.train.state import TrainState
from carafe_jax.train.step import CompiledStep, make_train_step
from carafe_jax.train.task import (
    Batch,
    Batches,
    Evaluator,
    SupportsPictures,
    Task,
    Variables,
)
from carafe_jax.train.workdir import ensure_held, hold_workdir

_LOGGER = logging.getLogger(__name__)
_ABANDONED: list[Batches] = []
"""Batches that did not arrive in time, kept alive: their destructor would wait half a
minute for each worker process that hangs."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a training session."""

    state: TrainState
    scalars: dict[str, float] | None
    """Scalars of the last evaluation, those that contain `task.best`; None if the run
    was interrupted or had already ended."""
    interrupted_by: signal.Signals | None
    weights: StartReport | None = None
    """Report on the weights that the session was started from."""


def train(
    task: Task,
    *,
    optimizer: Optimizer,
    loop: Loop,
    workdir: pathlib.Path | str,
    weights: Variables | Callable[[], Variables] | None = None,
    console: Console | None = None,
) -> Outcome:
    """Train a task, or resume its training if its folder has a checkpoint.

    `carafe_jax.train.start.begin` describes how a run begins. Then the loop repeats, in
    this order:

    1. run the evaluators that are due, and let them draw, so that the scalars of a
       checkpoint are those of its weights; a signal waits for this, so that a resumed
       run has the same records;
    2. save the state and the position in the data, before the next batch is taken;
    3. return, if all steps are done or a signal came;
    4. take a batch and run the step;
    5. log, and stop if the loss is not finite. A state that is not finite is not saved.

    A run that was interrupted and is resumed ends with the same bits as one that was
    not. `defer_signals` lists the signals; only the main thread handles them.

    An error between two steps, for example in the input pipeline, is raised after the
    state of the last step is saved, without the scalars of a failed evaluation. A run
    that is resumed from such a checkpoint first evaluates it. If a signal has come
    before, the error is not raised: the run ends like any interruption, as it does when
    the next batch does not arrive within seconds of a signal. One of several processes
    cannot save without the others: they resume from the last checkpoint.

    A run may be resumed with a greater length. From this step on, it follows the
    learning-rate schedule of the new length: a rate that had decayed to zero rises to
    the value of the new schedule, which ends at the new last step. The state is that of
    the checkpoint, moments of the optimizer included. The result is not that of a run
    of the new length from the start, whose first steps would have had other rates.

    Several processes (`join_processes`) call this with the same arguments. Each takes
    its shard of the batches; all save into the same folder; the first writes the
    records and draws the progress bar. A signal to any of them stops all, at the next
    step at which scalars are logged.

    The folder stays locked (`hold_workdir`): no other run can train in it.

    Args:
      task: Model, loss and data.
      optimizer: Optimizer of the parameters.
      loop: Length of the run, and intervals of logs, evaluations and checkpoints.
      workdir: Folder for checkpoints, `scalars.csv`, `provenance.json`, `pictures` and
        TensorBoard's files, on a file system that all processes share.
      weights: Variables to start from if there is no checkpoint, all or some of them,
        from a converter in `interop` or from `restore_trained`; or a function that
        returns them, which is not called when a run is resumed.
      console: Shows the phases and the progress of the run: on a terminal as a bar,
        elsewhere as lines. None shows nothing.

    Raises:
      RefusedError: The folder is in use by another run or cannot be used; it has a
        checkpoint that is damaged or later than the last step; none of the `weights`
        fits; no evaluator measures `task.best`, which is checked after all have run
        once; or a checkpoint could not be saved.
      NotFiniteError: The loss or the gradient is NaN or infinite.
    """
    began, workdir = time.perf_counter(), pathlib.Path(workdir)
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_workdir(workdir))
        devices = describe_devices()
        if is_first():
            _LOGGER.info("Training on %s.", devices)
        display = stack.enter_context(show_progress(console if is_first() else None))
        display.announce("opening data")
        batches, evaluators = task.batches(), task.evaluators()
        check_evaluators(evaluators)
        if loop.depends_on_epoch:
            loop = loop.in_steps(task.steps_per_epoch())
        total, mesh = loop.total_steps, make_mesh()
        checkpoints = Checkpoints(workdir, best=task.best)
        stack.enter_context(_closed(checkpoints))
        start = checkpoints.last_step or 0
        state, report = begin(
            task,
            optimizer=optimizer,
            loop=loop,
            mesh=mesh,
            checkpoints=checkpoints,
            batches=batches,
            weights=weights,
            announce=display.announce,
        )
        provenance = Provenance(
            workdir,
            step=start,
            total=total,
            began=began,
            parameters=sum(x.size for x in jax.tree.leaves(state.params)),
            weights=None if report is None else report.names(),
        )
        if start:
            _LOGGER.info("Resuming from step %d of %d.", start, total)
            _log_growth(optimizer, step=start, total=total, before=provenance.length)
        missed = _missed(evaluators, checkpoints=checkpoints, step=start, loop=loop)
        repeated = [x.name for x in evaluators] if missed else []
        records = Records(workdir, step=start, repeated=repeated, writes=is_first())
        stack.enter_context(_closed(records))
        run = _Run(
            workdir=workdir,
            loop=loop,
            best=task.best,
            step=CompiledStep(
                make_train_step(task, loop, mesh=mesh, optimizer=optimizer)
            ),
            put=functools.partial(put_batch, mesh=mesh),
            batches=batches,
            evaluators=evaluators,
            checkpoints=checkpoints,
            records=records,
            log=TrainingLog(records, learning_rates=optimizer.learning_rates(total)),
            provenance=provenance,
            display=display,
        )
        # Signals stay deferred until the last save ends: they would interrupt it.
        with defer_signals() as interruption, stack.pop_all():
            outcome = run.train(
                state, start=start, evaluate_start=missed, interruption=interruption
            )
    provenance.update(int(outcome.state.step))
    stopped_by = outcome.interrupted_by or signal_of_any(interruption.signal)
    return dataclasses.replace(outcome, interrupted_by=stopped_by, weights=report)


@contextlib.contextmanager
def _closed(opened: Checkpoints | Records) -> Iterator[None]:
    """Close at the end of the block; after an error, only log what closing raises."""
    try:
        yield
    except BaseException:
        try:
            opened.close()
        except (RefusedError, OSError) as error:
            _LOGGER.warning("%s", error)
        raise
    opened.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Run:
    """A run with all its files open, ready to train."""

    workdir: pathlib.Path
    loop: Loop
    best: str
    step: CompiledStep
    put: Callable[[Batch], Batch]
    batches: Batches
    evaluators: Sequence[Evaluator]
    checkpoints: Checkpoints
    records: Records
    log: TrainingLog
    provenance: Provenance
    display: ProgressDisplay

    def train(
        self,
        state: TrainState,
        *,
        start: int,
        evaluate_start: bool,
        interruption: Interruption,
    ) -> Outcome:
        """Run the steps after `start`, which itself is evaluated on demand."""
        current = _Current(state, start, self._position())
        first = start if evaluate_start else start + 1
        try:
            return self._train(current, first=first, interruption=interruption)
        except NotFiniteError:
            raise
        except (Exception, BatchTimeoutError) as error:
            saved = self._save_after_error(current, start=start, error=error)
            if saved is None or interruption.signal is None:
                raise
            if isinstance(error, BatchTimeoutError):
                _LOGGER.warning("No batch came after the signal.")
                _ABANDONED.append(self.batches)
            else:  # It is not raised.
                _LOGGER.warning("%s: %s", type(error).__name__, error)
            return Outcome(saved, None, interruption.signal)

    def _train(
        self, current: "_Current", *, first: int, interruption: Interruption
    ) -> Outcome:
        """Run all steps; evaluate and save those from `first` on that are due."""
        loop, total = self.loop, self.loop.total_steps
        alone = jax.process_count() == 1
        while True:
            state, step = current.unpack()
            last, scalars = step == total, None
            evaluating = due(self.evaluators, step=step, loop=loop)
            # Read once: all processes must agree.
            stopped_by = None
            if alone or last or evaluating or step % loop.log_every == 0:
                stopped_by = signal_of_any(interruption.signal)
            leaving = last or stopped_by is not None
            saving = leaving or bool(evaluating) or step % loop.save_every == 0
            if saving and step >= first:
                self.display.report(step, self.log.flush())
                with self.log.paused():
                    scalars = self._evaluate(state, evaluating, step=step)
                    self._save(current, scalars)
                if len(evaluating) == len(self.evaluators):
                    self._check_best(scalars)
                # After a signal that came meanwhile, the state is already saved.
                stopped_by = stopped_by or signal_of_any(interruption.signal)
                self.display.train(step, total=total)
            if last or stopped_by is not None:
                return Outcome(state, scalars, stopped_by)
            self._run_step(current, interruption if alone else None)
            if current.step % loop.log_every == 0:
                self.display.report(current.step, self.log.flush())

    def _run_step(self, current: "_Current", interruption: Interruption | None) -> None:
        """Take a batch and run a step.

        `interruption` may end the wait for a batch. If it has a signal before the step
        is compiled, no step is run.
        """
        state, step = current.unpack()
        with interruption.waiting() if interruption else contextlib.nullcontext():
            batch = next(self.batches)
        batch = self.put(batch)
        if not self.step.is_compiled_for(batch):
            if interruption is None:
                self._compile(current, batch)
            elif not self._compile_unless_stopped(current, batch, interruption):
                return
        current.state = None  # Its arrays are donated to the step.
        with jax.transfer_guard("disallow"):
            state, scalars = self.step(state, batch)
        self.log.add(step + 1, scalars, examples=_examples(batch))
        position = self._position()
        current.state, current.step, current.position = state, step + 1, position

    def _compile_unless_stopped(
        self, current: "_Current", batch: Batch, interruption: Interruption
    ) -> bool:
        """Compile the step; return whether no signal came before the end."""
        if interruption.signal is None:
            with interruption.compiling():
                self._compile(current, batch)
        return interruption.signal is None

    def _compile(self, current: "_Current", batch: Batch) -> None:
        state, step = current.unpack()
        self.display.announce("compiling the step")
        with self.log.paused():
            self.step.compile(state, batch)
        self.display.train(step, total=self.loop.total_steps)

    def _position(self) -> dict[str, Any]:
        # A copy: some iterators later change what they returned here.
        return copy.deepcopy(self.batches.get_state())

    def _save_after_error(
        self, current: "_Current", *, start: int, error: BaseException
    ) -> TrainState | None:
        """Save the state of the last step after an error, and log the result.

        Returns:
          The state; None where it could not be saved.
        """
        if current.state is None:
            return None
        stopped = f"Stopped after step {current.step}"
        if jax.process_count() > 1:
            # A save needs all processes, and the others may be in their next step.
            _LOGGER.warning(
                "%s, which one of several processes cannot save alone.", stopped
            )
            return None
        if current.step > start:
            try:
                self.log.flush()
                self._save(current, None)
                self.checkpoints.wait()
            except RefusedError as failure:
                if str(failure) != str(error):
                    _LOGGER.warning("%s, which is not saved. %s", stopped, failure)
                return None
            except OSError:  # For example, the disk is full; the error says so.
                resumption = self.checkpoints.describe_resumption()
                _LOGGER.warning("%s, which is not saved. %s.", stopped, resumption)
                return None
            _LOGGER.warning("%s, which is saved.", stopped)
        return current.state

    def _evaluate(
        self, state: TrainState, evaluators: Sequence[Evaluator], *, step: int
    ) -> dict[str, float] | None:
        """Evaluate and draw; return the first scalars that contain `best`."""
        found = None
        for evaluator in evaluators:
            name = evaluator.name
            self.display.announce(f"evaluating: {name}")
            scalars = _as_numbers(evaluator.evaluate(state), evaluator=name)
            self.records.write(step, name, scalars)
            if isinstance(evaluator, SupportsPictures):
                self.records.write_pictures(step, name, evaluator.draw(state))
            if found is None and self.best in scalars:
                found = scalars
        return found

    def _save(self, current: "_Current", scalars: dict[str, float] | None) -> None:
        state, step = current.unpack()
        call_on_first(lambda: ensure_held(self.workdir))
        self.checkpoints.save(state, current.position, scalars)
        self.provenance.update(step)

    def _check_best(self, scalars: dict[str, float] | None) -> None:
        """Raise if no evaluator measured `best`, after all have run."""
        if self.evaluators and scalars is None:
            raise RefusedError(
                f"An evaluator of the task must measure {self.best!r}, which "
                "ranks the checkpoints, got none among "
                f"{', '.join(x.name for x in self.evaluators)}."
            )


@dataclasses.dataclass
class _Current:
    """The state and the position in the data after the last step."""

    state: TrainState | None
    """None while a step runs, to which its arrays are donated."""
    step: int
    position: dict[str, Any]
    """Position in the data, before the next batch is taken."""

    def unpack(self) -> tuple[TrainState, int]:
        """Return the state and its step, between two steps."""
        assert self.state is not None
        return self.state, self.step


def _missed(
    evaluators: Sequence[Evaluator], *, checkpoints: Checkpoints, step: int, loop: Loop
) -> bool:
    """Return whether the evaluation of a checkpoint is missing: it failed, for example.

    Scalars are missing also where the evaluators that were due measure no `best`: only
    all evaluators together must measure it.
    """
    if not step or not evaluators or checkpoints.has_scalars(step):
        return False
    return len(due(evaluators, step=step, loop=loop)) == len(evaluators)


def _as_numbers(scalars: Mapping[str, Any], *, evaluator: str) -> dict[str, float]:
    """Return the scalars of an evaluator as Python floats."""
    numbers = {}
    for name, value in scalars.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError) as error:
            raise RefusedError(
                f"The scalar {name!r} of the evaluator {evaluator!r} must be a number, "
                f"got {value!r}."
            ) from error
    return numbers


def _log_growth(
    optimizer: Optimizer, *, step: int, total: int, before: int | None
) -> None:
    """Log the learning rate of a run that has grown."""
    if before is None or before >= total:
        return
    ended = next(iter(optimizer.learning_rates(before).values()), None)
    continued = next(iter(optimizer.learning_rates(total).values()), None)
    if ended is not None and continued is not None:
        _LOGGER.info(
            "The run grows from %d to %d steps: its learning rate continues at %.3g "
            "(it ended at %.3g).",
            before,
            total,
            rate_at(continued, step),
            rate_at(ended, step - 1),
        )


def _examples(batch: Batch) -> int:
    return jax.tree.leaves(dict(batch))[0].shape[0]
