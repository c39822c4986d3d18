"""Checkpoints of state and data position: the last one and the best one."""

import contextlib
import json
import logging
import math
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, Literal, get_args

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from carafe_jax.arguments import check_choice
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.files import check_local, write_atomically
from carafe_jax.train.processes import call_on_first, is_first
from carafe_jax.train.state import TrainState
from carafe_jax.train.task import Batches, Variables
from carafe_jax.train.workdir import check_workdir

_LOGGER = logging.getLogger(__name__)
CheckpointChoice = Literal["best", "last"]
# Errors that neither a damaged checkpoint nor the disk causes.
_UNRELATED_ERRORS = (RefusedError, jax.errors.JaxRuntimeError, MemoryError)


class Checkpoints:
    """The checkpoints of one run.

    Saves run in the background; `close` waits for them.
    """

    def __init__(
        self, workdir: pathlib.Path, *, best: str, read_only: bool = False
    ) -> None:
        """Open the folder `checkpoints` of a run.

        Args:
          workdir: Folder of the run.
          best: Name of the scalar that is largest at the best checkpoint; NaN counts
            as smaller than any number.
          read_only: Leave the folder unchanged: nothing is saved, and another process
            may be saving there. Otherwise the folder is created if it is missing, and
            leftovers of an interrupted save are deleted.

        Raises:
          RefusedError: `checkpoints` is a file, or its metadata are damaged; or, unless
            `read_only`, no run can be trained at the path (`check_workdir`).
        """
        self._folder = (workdir / "checkpoints").absolute()
        if not read_only:
            check_workdir(workdir)
        if self._folder.exists() and not self._folder.is_dir():
            raise RefusedError(
                f"`workdir` must have a folder of checkpoints, got {self._folder}, "
                "which is a file."
            )
        self.workdir, self._read_only = workdir, read_only
        if not read_only:
            _delete_stateless(self._folder)
        _check_metadata(self._folder, best=best)

        def score(scalars: Any) -> float:
            value = float(scalars[best])
            return -math.inf if math.isnan(value) else value

        keep = checkpoint_managers.AnyPreservationPolicy(
            [
                checkpoint_managers.LatestN(1),
                checkpoint_managers.BestN(
                    get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            # Without a `best_fn` orbax does not write the scalars at all; with it and
            # `max_to_keep` it would delete the last step. The policy keeps both.
            best_fn=score,
            preservation_policy=keep,
            # Orbax's own `read_only` logs a warning whenever a folder is opened.
            create=not read_only,
            # An interrupted save leaves a temporary folder behind; a running save has
            # one, too.
            cleanup_tmp_directories=not read_only,
        )
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=options,
            # Without handlers, orbax has no metadata of a state that another manager
            # saved.
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "batches": ocp.JsonCheckpointHandler(),
            },
        )

    @property
    def last_step(self) -> int | None:
        """Step of the last checkpoint that has a state; None if there is none."""
        steps = self._manager.all_steps()
        return max(
            (x for x in steps if _has_state(self._folder / str(x))), default=None
        )

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint; None if none was evaluated."""
        return self._manager.best_step()

    def has_scalars(self, step: int) -> bool:
        """Return whether a checkpoint has the scalars of an evaluation.

        Args:
          step: Step of the checkpoint.
        """
        return _scalars_file(self._folder / str(step)).exists()

    def save(
        self,
        state: TrainState,
        position: dict[str, Any],
        scalars: dict[str, float] | None,
    ) -> None:
        """Save a state and its position in the data, unless its step is already saved.

        If it was saved without scalars, they are added.

        Args:
          state: State of the run.
          position: `get_state()` of the batches, before the next batch is taken.
          scalars: Scalars of the evaluation that measures `best`; None without one.

        Raises:
          RefusedError: The previous save failed, for example because the disk is full.
        """
        assert not self._read_only
        step = int(jax.device_get(state.step))
        if step in self._manager.all_steps():
            if scalars is not None:
                self._add_scalars(step, scalars)
            return
        with self._explain_failed_save():
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(_arrays(state)),
                    batches=ocp.args.JsonSave(position),
                ),
                metrics=scalars,
                force=True,
            )

    def _add_scalars(self, step: int, scalars: dict[str, float]) -> None:
        """Add scalars to a checkpoint that has none, in the file of orbax."""
        self.wait()

        # The first process decides: others could see a file that it has just written.
        def write() -> None:
            path = _scalars_file(self._folder / str(step))
            if not path.exists():
                with write_atomically(path) as partial:
                    partial.write_text(json.dumps(scalars), encoding="utf-8")

        with self._explain_failed_save():
            call_on_first(write)
        self._manager.reload()

    def restore(
        self, state: TrainState, batches: Batches | None = None, *, step: int
    ) -> TrainState:
        """Return a checkpoint's state, and set `batches` to its position.

        Args:
          state: A state of the same shapes and shardings, such as `abstract_state`.
          batches: Batches to set to the checkpoint's position; None sets none.
          step: Step of the checkpoint.

        Raises:
          RefusedError: The checkpoint is damaged, or belongs to another network.
        """
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, _arrays(state))
        items: dict[str, Any] = {"state": ocp.args.StandardRestore(template)}
        if batches is not None:
            items["batches"] = ocp.args.JsonRestore()
        with self._explain_damage(step):
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
            if batches is not None and not isinstance(restored["batches"], dict):
                raise ValueError(f"the position of the data is {restored['batches']}")
        if batches is not None:
            self._rewind(batches, restored["batches"], step=step)
        return state.replace(**restored["state"])

    def _rewind(self, batches: Batches, position: dict[str, Any], *, step: int) -> None:
        try:
            batches.set_state(position)
        except (LookupError, TypeError, ValueError) as error:
            raise RefusedError(
                f"The data cannot be set to their position at step {step}: "
                f"{type(error).__name__}: {_first_line(error)}. If "
                f"{self._folder / str(step) / 'batches'} is damaged"
                f"{self._advice(step)}."
            ) from error

    def restore_variables(self, *, step: int) -> Variables:
        """Return a checkpoint's variables for evaluation, on the first device.

        They are those of `TrainState.evaluation_variables`. No task is needed.

        Args:
          step: Step of the checkpoint.

        Raises:
          RefusedError: The checkpoint is damaged.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        with self._explain_damage(step):
            metadata: Any = self._manager.item_metadata(step)["state"]
            template = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device),
                metadata.tree if hasattr(metadata, "tree") else metadata,
            )
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardRestore(template)),
            )["state"]
            params = restored["params"]
            if restored["average"] is not None:
                params = restored["average"]
            return {"params": params, **restored["collections"]}

    @contextlib.contextmanager
    def _explain_damage(self, step: int) -> Iterator[None]:
        """Raise an error that names the damaged checkpoint and one to use instead.

        The other is not used automatically: it may be many steps older, and a network
        file system may later return files that it does not return now.
        """
        try:
            yield
        except _UNRELATED_ERRORS:
            raise
        # Damage can raise any error of orbax, tensorstore or JSON.
        except Exception as error:
            raise RefusedError(
                f"The checkpoint of step {step}, {self._folder / str(step)}, is "
                f"damaged or of another network: {_first_line(error)}. If it is "
                f"damaged{self._advice(step)}."
            ) from error

    def _advice(self, step: int) -> str:
        """Return the advice for a damaged checkpoint, to end a sentence."""
        others = [x for x in _saved_steps(self._folder) if x != step]
        if others:
            return (
                f", delete {self._folder / str(step)} to use that of step {max(others)}"
            )
        return f", delete {self._folder / str(step)} to start afresh: there is no other"

    @contextlib.contextmanager
    def _explain_failed_save(self) -> Iterator[None]:
        """Raise an error that names the step to resume from after a failed save."""
        try:
            yield
        except _UNRELATED_ERRORS:
            raise
        except Exception as error:
            raise RefusedError(
                f"A checkpoint could not be saved in {self._folder}: "
                f"{_first_line(error)} ({_space_left(self._folder)}). "
                f"{self.describe_resumption()} once there is space to write to."
            ) from error

    def describe_resumption(self) -> str:
        """Return from which step the run can resume, without a full stop."""
        # Orbax's own list includes the step that it could not save.
        last = max(_saved_steps(self._folder), default=None)
        if last is None:
            return "The same command starts again"
        return f"The same command resumes from step {last}"

    def wait(self) -> None:
        """Wait for the last save.

        Raises:
          RefusedError: The save failed, for example because the disk is full.
        """
        with self._explain_failed_save():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for the last save and close.

        Raises:
          RefusedError: The save failed, as in `wait`.
        """
        with self._explain_failed_save():
            try:
                self._manager.wait_until_finished()
            finally:
                self._manager.close()


@no_type_check
def restore_trained(
    workdir: pathlib.Path,
    *,
    best: str,
    which: CheckpointChoice,
    argument: str = "workdir",
) -> tuple[Variables, int]:
    """Return the trained variables of a run, which may still be training.

    Args:
      workdir: Folder of the run.
      best: Name of the scalar that is largest at the best checkpoint.
      which: The best checkpoint or the last.
      argument: Name of the argument `workdir` in error messages.

    Returns:
      The variables, as from `Checkpoints.restore_variables`, and their step.

    Raises:
      RefusedError: The run has no such checkpoint, or `which` is none of its choices.
    """
    check_choice("which", which, get_args(CheckpointChoice))
    check_local(argument, workdir)
    found: dict[CheckpointChoice, int | None] = {"best": None, "last": None}
    if (workdir / "checkpoints").exists():
        checkpoints = Checkpoints(workdir, best=best, read_only=True)
        with contextlib.closing(checkpoints):
            found = {"best": checkpoints.best_step, "last": checkpoints.last_step}
            step = found[which]
            if step is not None:
                return checkpoints.restore_variables(step=step), step
    last = "only the last one, as it was not evaluated yet: `which` 'last' selects it"
    has = "none" if found["last"] is None else last
    raise RefusedError(
        f"`{argument}` must have a {which} checkpoint, got {str(workdir)!r}, which has "
        f"{has}."
    )


def _has_state(folder: pathlib.Path) -> bool:
    return (folder / "state").exists()


def _scalars_file(folder: pathlib.Path) -> pathlib.Path:
    """Return the file of orbax that holds the scalars of a checkpoint."""
    return folder / "metrics" / "metrics"


def _step_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return [x for x in folder.glob("[0-9]*") if x.name.isdigit() and x.is_dir()]


def _saved_steps(folder: pathlib.Path) -> list[int]:
    return [int(x.name) for x in _step_folders(folder) if _has_state(x)]


def _delete_stateless(folder: pathlib.Path) -> None:
    """Delete the folders of steps without a state; all processes call it together."""
    if is_first():
        for step in _step_folders(folder):
            if not _has_state(step):
                _LOGGER.warning("%s holds no state, and is deleted.", step)
                shutil.rmtree(step)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"delete_stateless {folder}")


def _check_metadata(folder: pathlib.Path, *, best: str) -> None:
    """Raise if a file that orbax reads when it opens the folder is damaged."""
    for step in _step_folders(folder):
        metadata = step / "_CHECKPOINT_METADATA"
        content = _json(metadata)
        # Orbax ignores a file that is not JSON.
        if content not in (_MISSING, None) and not isinstance(content, dict):
            raise RefusedError(f"{metadata} is damaged: delete it; nothing is lost.")
        measured = _scalars_file(step)
        scalars = _json(measured)
        if scalars is _MISSING:
            continue
        score = scalars.get(best) if isinstance(scalars, dict) else None
        if isinstance(score, bool) or not isinstance(score, int | float):
            raise RefusedError(
                f"{measured} must hold the number {best!r}, got {str(scalars)[:60]}. "
                f"If it is damaged, delete the folder {measured.parent}: the "
                f"checkpoint of step {step.name} then counts as not evaluated."
            )


_MISSING = object()


def _json(path: pathlib.Path) -> Any:
    """Return the content of a file; None if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:  # A run that is training may have deleted it.
        return _MISSING
    except ValueError:  # Raised for invalid JSON and invalid UTF-8.
        return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")[:200]


def _space_left(folder: pathlib.Path) -> str:
    existing = next(x for x in (folder, *folder.parents) if x.exists())
    usage = shutil.disk_usage(existing)
    return f"{usage.free / 2**20:.0f} of {usage.total / 2**20:.0f} MiB are free there"


def _arrays(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "params": state.params,
        "opt_state": state.opt_state,
        "collections": state.collections,
        "average": state.average,
    }
