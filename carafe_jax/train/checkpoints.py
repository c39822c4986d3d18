"""Checkpoints of state and data position: the last one and the best one."""

import contextlib
import math
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, Literal

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers

from carafe_jax.errors import RefusedError
from carafe_jax.train.processes import is_first
from carafe_jax.train.state import TrainState
from carafe_jax.train.task import Batches, Variables

CheckpointChoice = Literal["best", "last"]


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
          best: Name of the scalar by which a checkpoint is the best: the largest. One
            that is NaN is smaller than all others.
          read_only: The folder stays as it is: nothing is saved, and another process
            may be saving there. Else it is made where it does not exist, and what an
            interrupted save left behind is deleted.

        Raises:
          RefusedError: The path has brackets and is to be saved to, or `checkpoints` is
            a file.
        """
        self._folder = (workdir / "checkpoints").absolute()
        if not read_only and any(x in str(self._folder) for x in "[]"):
            # Orbax saves there, but takes the path for a pattern when it restores.
            raise RefusedError(
                "`workdir` must be a path without brackets, which checkpoints cannot "
                f"be read back from, got {str(workdir.absolute())!r}."
            )
        if self._folder.exists() and not self._folder.is_dir():
            raise RefusedError(
                f"`workdir` must have a folder of checkpoints, got {self._folder}, "
                "which is a file."
            )
        self.workdir, self._read_only = workdir, read_only
        if not read_only:
            _delete_stateless(self._folder)

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
            # A save that was cut off leaves a temporary folder behind; one that is
            # running has such a folder, too.
            cleanup_tmp_directories=not read_only,
        )
        self._manager = ocp.CheckpointManager(
            self._folder,
            options=options,
            # Without it orbax knows nothing of a state that it has not saved itself.
            item_handlers={
                "state": ocp.StandardCheckpointHandler(),
                "batches": ocp.JsonCheckpointHandler(),
            },
        )

    @property
    def last_step(self) -> int | None:
        """Step of the last checkpoint that has a state; None where there is none."""
        steps = self._manager.all_steps()
        return max(
            (x for x in steps if _has_state(self._folder / str(x))), default=None
        )

    @property
    def best_step(self) -> int | None:
        """Step of the best checkpoint; None where none was evaluated."""
        return self._manager.best_step()

    def save(
        self, state: TrainState, batches: Batches, scalars: dict[str, float] | None
    ) -> None:
        """Save a state with the position of its data.

        Args:
          state: Of the run.
          batches: Whose position is saved.
          scalars: The evaluation that measures `best`; None where there is none.
        """
        assert not self._read_only
        step = int(jax.device_get(state.step))
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(_arrays(state)),
                batches=ocp.args.JsonSave(batches.get_state()),
            ),
            metrics=scalars,
            force=True,
        )

    def restore(
        self, state: TrainState, batches: Batches | None = None, *, step: int
    ) -> TrainState:
        """Return a checkpoint's state, and rewind `batches`.

        Args:
          state: Of the same shapes and shardings, such as `abstract_state`.
          batches: Set to the position of the checkpoint; None leaves it out.
          step: Of the checkpoint.

        Raises:
          RefusedError: The checkpoint is damaged, or of another network.
        """
        template = jax.tree.map(ocp.utils.to_shape_dtype_struct, _arrays(state))
        items: dict[str, Any] = {"state": ocp.args.StandardRestore(template)}
        if batches is not None:
            items["batches"] = ocp.args.JsonRestore()
        with self._damage_refused(step):
            restored = self._manager.restore(step, args=ocp.args.Composite(**items))
        if batches is not None:
            batches.set_state(restored["batches"])
        return state.replace(**restored["state"])

    def restore_variables(self, *, step: int) -> Variables:
        """Return a checkpoint's variables to use, on the first device.

        Those of `TrainState.evaluation_variables`. They need no task.

        Raises:
          RefusedError: The checkpoint is damaged.
        """
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        with self._damage_refused(step):
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
    def _damage_refused(self, step: int) -> Iterator[None]:
        try:
            yield
        except (KeyError, ValueError, FileNotFoundError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RefusedError(
                f"The checkpoint of step {step} in {self._folder} is damaged or of "
                f"another network: {reason[:200]}; delete its folder to use the one "
                "before."
            ) from error

    def close(self) -> None:
        """Wait for the last save and close."""
        self._manager.wait_until_finished()
        self._manager.close()


def restore_trained(
    workdir: pathlib.Path,
    *,
    best: str,
    which: CheckpointChoice,
    argument: str = "workdir",
) -> tuple[Variables, int]:
    """Restore what a run has learned, to use it; the run may be training meanwhile.

    Args:
      workdir: Folder of the run.
      best: Name of the scalar by which a checkpoint is the best: the largest.
      which: The best checkpoint or the last.
      argument: Name of the folder in the error.

    Returns:
      The variables, as `Checkpoints.restore_variables`, and their step.

    Raises:
      RefusedError: The run has no such checkpoint.
    """
    found: dict[CheckpointChoice, int | None] = {"best": None, "last": None}
    if (workdir / "checkpoints").exists():
        checkpoints = Checkpoints(workdir, best=best, read_only=True)
        with contextlib.closing(checkpoints):
            found = {"best": checkpoints.best_step, "last": checkpoints.last_step}
            step = found[which]
            if step is not None:
                return checkpoints.restore_variables(step=step), step
    last = "only the last one, as it was not evaluated yet: `which` 'last' takes it"
    has = "none" if found["last"] is None else last
    raise RefusedError(
        f"`{argument}` must have a {which} checkpoint, got {str(workdir)!r}, which has "
        f"{has}."
    )


def _has_state(folder: pathlib.Path) -> bool:
    return (folder / "state").exists()


def _delete_stateless(folder: pathlib.Path) -> None:
    """Delete the folders of steps that hold no state, on all processes at once."""
    if is_first():
        for step in folder.glob("[0-9]*"):
            if step.name.isdigit() and step.is_dir() and not _has_state(step):
                shutil.rmtree(step)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"delete_stateless {folder}")


def _arrays(state: TrainState) -> dict[str, Any]:
    return {
        "step": state.step,
        "params": state.params,
        "opt_state": state.opt_state,
        "collections": state.collections,
        "average": state.average,
    }
