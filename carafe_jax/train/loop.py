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
    Interruption,
    StillWaitingError,
    noted_interruption,
)
from carafe_jax.train.log import NotFiniteError, TrainingLog
from carafe_jax.train.loop_config import Loop
from carafe_jax.train.mesh import describe_devices, make_mesh, put_batch
from carafe_jax.train.optimizers import Optimizer, rate_at
from carafe_jax.train.processes import is_first, refused_by_all, signal_of_any
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
from carafe_jax.train.workdir import hold_workdir, keep_hold

_LOGGER = logging.getLogger(__name__)
_ABANDONED: list[Batches] = []
"""Batches that were not waited for. Their end would be: for each worker process that
hangs, by half a minute."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a training session."""

    state: TrainState
    scalars: dict[str, float] | None
    """The last evaluation, of the evaluator that measures `task.best`; None where the
    run was interrupted or had ended before."""
    interrupted_by: signal.Signals | None
    weights: StartReport | None = None
    """Report of loading the weights that the session was started from."""


def train(
    task: Task,
    *,
    optimizer: Optimizer,
    loop: Loop,
    workdir: pathlib.Path | str,
    weights: Variables | Callable[[], Variables] | None = None,
    console: Console | None = None,
) -> Outcome:
    """Train a task, or resume its training where its folder has a checkpoint.

    `carafe_jax.train.start.begin` lists how a run begins. Then, at each step, in this
    order:

    1. evaluate with each evaluator that is due, and draw if it does, so that numbers
       and weights of a checkpoint agree; a signal waits for this, so that a resumed run
       has the same records;
    2. save the state and the position of the data, before the next batch is taken;
    3. return, if all steps are done or a signal came;
    4. take a batch and make the step;
    5. log, and stop if the loss is not finite. Nothing that is not finite is saved.

    A run that was interrupted and is resumed ends with the same bits as one that was
    not. `noted_interruption` lists the signals; outside the main thread none is noted.

    An error between two steps, such as one in making the next batch, is raised after
    the state of the last step is saved, without the scalars of an evaluation that
    failed. After a signal, such an error, or a batch that does not arrive within
    seconds, ends the run as any interruption. With several processes, none can save
    without the others: they resume from the last checkpoint.

    The length of a run may grow. From the step of resumption on, its learning rate is
    then that of a run of the new length: a rate that had decayed to zero rises again,
    to where the new schedule is at this step, and reaches its end at the new last step.
    The state is that of the checkpoint, moments of the optimizer included. This is not
    what a run of the new length from the start would have learned: its first steps had
    other rates.

    Several processes (`join_processes`) call this alike. Each takes its part of the
    batches; all save into the same folder; the first writes the records and draws the
    progress bar. A signal to any of them stops all, when scalars are logged next.

    The folder is locked meanwhile (`hold_workdir`): no other run can train in it.

    Args:
      task: Model, loss and data.
      optimizer: Of the loss.
      loop: Length of the run, and its cadences.
      workdir: Folder of checkpoints, `scalars.csv`, `provenance.json`, `pictures` and
        TensorBoard's files; one that all processes see.
      weights: Variables to start from where there is no checkpoint, in whole or in
        part, of a converter in `interop` or from `restore_trained`. Or a function that
        returns them, which a run that is resumed does not call.
      console: Shows the phases of the run and the progress: on a terminal as a bar,
        elsewhere as lines. None shows nothing.

    Raises:
      RefusedError: The folder is in use by another run or cannot be used; it has a
        checkpoint that is damaged or from after the last step; `weights` do not fit at
        all; no evaluator measures `task.best`, after the first evaluation by all of
        them; or a checkpoint could not be saved.
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
        if loop.epochs is not None:
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
            weights=None if report is None else report.names(),
        )
        if start:
            _LOGGER.info("Resuming from step %d of %d.", start, total)
            _log_growth(optimizer, step=start, total=total, before=provenance.length)
        records = Records(workdir, step=start, writes=is_first())
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
        # The last save ends while signals are noted: one more would cut it off.
        with noted_interruption() as interruption, stack.pop_all():
            outcome = run.train(state, start=start, interruption=interruption)
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
    """A run whose parts are open, ready to train."""

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
        self, state: TrainState, *, start: int, interruption: Interruption
    ) -> Outcome:
        """Make the steps after `start`."""
        done = _Done(state, start, self._position())
        try:
            return self._train(done, start=start, interruption=interruption)
        except NotFiniteError:
            raise
        except (Exception, StillWaitingError) as error:
            kept = self._keep(done, start=start, error=error)
            if kept is None or interruption.signal is None:
                raise
            if isinstance(error, StillWaitingError):
                _ABANDONED.append(self.batches)
            return Outcome(kept, None, interruption.signal)

    def _train(
        self, done: "_Done", *, start: int, interruption: Interruption
    ) -> Outcome:
        loop, total = self.loop, self.loop.total_steps
        alone = jax.process_count() == 1
        while True:
            state, step = done.whole()
            last, scalars = step == total, None
            evaluating = due(self.evaluators, step=step, loop=loop)
            # Read once: all processes must agree.
            stopped_by = None
            if alone or last or evaluating or step % loop.log_every == 0:
                stopped_by = signal_of_any(interruption.signal)
            leaving = last or stopped_by is not None
            saving = leaving or bool(evaluating) or step % loop.save_every == 0
            if saving and step > start:
                self.display.report(step, self.log.flush())
                with self.log.paused():
                    scalars = self._evaluate(state, evaluating, step=step)
                    self._save(done, scalars)
                if len(evaluating) == len(self.evaluators):
                    self._check_best(scalars)
                # A signal that came meanwhile finds its state saved.
                stopped_by = stopped_by or signal_of_any(interruption.signal)
                self.display.train(step, total=total)
            if last or stopped_by is not None:
                return Outcome(state, scalars, stopped_by)
            self._make_step(done, interruption if alone else None)
            if done.step % loop.log_every == 0:
                self.display.report(done.step, self.log.flush())

    def _make_step(self, done: "_Done", interruption: Interruption | None) -> None:
        """Take a batch and make a step; `interruption` may end the wait for a batch."""
        state, step = done.whole()
        with interruption.waiting() if interruption else contextlib.nullcontext():
            batch = next(self.batches)
        batch = self.put(batch)
        if not self.step.is_compiled_for(batch):
            self.display.announce("compiling the step")
            with self.log.paused():
                self.step.compile(state, batch)
            self.display.train(step, total=self.loop.total_steps)
        done.state = None  # Its arrays are donated to the step.
        with jax.transfer_guard("disallow"):
            state, scalars = self.step(state, batch)
        self.log.add(step + 1, scalars, examples=_examples(batch))
        done.state, done.step, done.position = state, step + 1, self._position()

    def _position(self) -> dict[str, Any]:
        # A copy: some iterators change later what they return here.
        return copy.deepcopy(self.batches.get_state())

    def _keep(
        self, done: "_Done", *, start: int, error: BaseException
    ) -> TrainState | None:
        """Save the state of the last step after an error, and log the result.

        Returns:
          The state; None where it could not be saved.
        """
        reason = (
            "No batch came after the signal"
            if isinstance(error, StillWaitingError)
            else f"{type(error).__name__} after step {done.step} ({error})"
        )
        if done.state is None:
            return None
        if jax.process_count() > 1:
            # A save needs all processes, and the others may be in their next step.
            _LOGGER.warning("%s: one of several processes cannot save alone.", reason)
            return None
        if done.step > start:
            try:
                self.log.flush()
                self._save(done, None)
                self.checkpoints.wait()
            except RefusedError as failure:
                if str(failure) != str(error):
                    _LOGGER.warning("%s. %s", reason, failure)
                return None
            except OSError:  # The disk is full, say, which the error itself says.
                resumption = self.checkpoints.describe_resumption()
                _LOGGER.warning("%s. Nothing can be saved. %s.", reason, resumption)
                return None
            _LOGGER.warning("%s: the state of step %d is saved.", reason, done.step)
        return done.state

    def _evaluate(
        self, state: TrainState, evaluators: Sequence[Evaluator], *, step: int
    ) -> dict[str, float] | None:
        """Evaluate and draw; returns the scalars that hold that of the best."""
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

    def _save(self, done: "_Done", scalars: dict[str, float] | None) -> None:
        state, step = done.whole()
        refused_by_all(lambda: keep_hold(self.workdir))
        self.checkpoints.save(state, done.position, scalars)
        self.provenance.update(step)

    def _check_best(self, scalars: dict[str, float] | None) -> None:
        """Refuse evaluators none of which measures the best, once all have measured."""
        if self.evaluators and scalars is None:
            raise RefusedError(
                f"An evaluator of the task must measure {self.best!r}, by which a "
                "checkpoint is the best, got none among "
                f"{', '.join(x.name for x in self.evaluators)}. The state is saved."
            )


@dataclasses.dataclass
class _Done:
    """The state and the position in the data after the last step."""

    state: TrainState | None
    """None while a step runs, to which the arrays are donated."""
    step: int
    position: dict[str, Any]
    """Of the data, before the next batch is taken."""

    def whole(self) -> tuple[TrainState, int]:
        """Return the state and its step, between two steps."""
        assert self.state is not None
        return self.state, self.step


def _as_numbers(scalars: Mapping[str, Any], *, evaluator: str) -> dict[str, float]:
    """Return the scalars of an evaluator as numbers of Python."""
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
