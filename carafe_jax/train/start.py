"""Initial state of a run: from a checkpoint, given weights, or the initializers."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from carafe_jax.errors import RefusedError
from carafe_jax.train.checkpoints import Checkpoints
from carafe_jax.train.loop_config import Loop
from carafe_jax.train.mesh import put_value
from carafe_jax.train.optimizers import Optimizer
from carafe_jax.train.paths import flatten_with_paths, map_with_paths
from carafe_jax.train.state import TrainState
from carafe_jax.train.step import abstract_state, init_variables, make_state
from carafe_jax.train.task import Batches, Task, Variables

_LOGGER = logging.getLogger(__name__)
_SHOWN = 3  # Names in a log line.


@dataclasses.dataclass(frozen=True)
class StartReport:
    """Report on the weights that a run was started from.

    Names are paths, such as "params/backbone/stem/conv/kernel".
    """

    loaded: tuple[str, ...]
    """Arrays of the network that have the values of the weights."""
    missing: tuple[str, ...]
    """Arrays of the network that the weights lack; they have initial values."""
    reshaped: tuple[str, ...]
    """Arrays whose shapes differ, each with both shapes; they have initial values."""
    unexpected: tuple[str, ...]
    """Arrays of the weights that the network lacks."""

    def names(self) -> dict[str, tuple[str, ...]]:
        """Return the names by field, without the empty fields."""
        return {name: value for name, value in vars(self).items() if value}

    def lines(self) -> list[str]:
        """Return the report in a few lines: counts and the first names."""
        total = len(self.loaded) + len(self.missing) + len(self.reshaped)
        lines = [f"Started from weights: {len(self.loaded)} of {total} arrays loaded."]
        for description, names in (
            ("missing in the weights, initialised", self.missing),
            ("of another shape in the weights, initialised", self.reshaped),
            ("unexpected in the weights, not used", self.unexpected),
        ):
            if names:
                lines.append(f"{len(names)} {description}: {_first_of(names)}.")
        return lines


def begin(
    task: Task,
    *,
    optimizer: Optimizer,
    loop: Loop,
    mesh: Mesh,
    checkpoints: Checkpoints,
    batches: Batches,
    weights: Variables | Callable[[], Variables] | None,
    announce: Callable[[str], None],
) -> tuple[TrainState, StartReport | None]:
    """Return the initial state of a run, and a report on any weights it started from.

    The state is the first of these that applies:

    1. Resume: the folder of the run has a checkpoint. The state is that of the last
       one, and `batches` are set to its position. Weights have no effect.
    2. Start from given weights. Arrays that the weights lack, or have with another
       shape, come from the initializers; the optimizer's state is new.
    3. Start from the initializers.

    Args:
      task: Model, loss and data.
      optimizer: Optimizer of the parameters.
      loop: Loop with its length in steps.
      mesh: From `make_mesh`.
      checkpoints: Checkpoints of the run.
      batches: Batches, set to their position if the run is resumed.
      weights: A possibly partial tree of collections: {"params": ...}; or a function
        that returns it, called if the run starts from weights.
      announce: Called with the name of each phase, before it begins.

    Raises:
      RefusedError: The checkpoint is later than the last step, or none of the weights
        fits the network.
    """
    step = checkpoints.last_step
    if step is not None:
        if step > loop.total_steps:
            raise RefusedError(
                f"The length of the run must be at least {step} steps, those of the "
                f"last checkpoint in {checkpoints.workdir}, got {loop.total_steps}."
            )
        announce("restoring the checkpoint")
        state = abstract_state(task, optimizer, loop, mesh=mesh)
        return checkpoints.restore(state, batches, step=step), None
    if callable(weights):
        announce("loading the weights")
        weights = weights()
    announce("compiling the initializers")
    variables, report = init_variables(task, loop, mesh=mesh), None
    if weights is not None:
        variables, report = load_weights(variables, weights)
        for line in report.lines():
            _LOGGER.info("%s", line)
    return make_state(variables, optimizer, loop, mesh=mesh), report


def load_weights(
    variables: Variables, weights: Variables
) -> tuple[Variables, StartReport]:
    """Return variables with the values of given weights, where they fit.

    Args:
      variables: Variables of a network, on devices.
      weights: A possibly partial tree of collections, from a converter in `interop` or
        from `restore_trained`. Each array is cast to the dtype of the network's.

    Returns:
      The variables, sharded as they were, and the report on the weights.

    Raises:
      RefusedError: No array of the weights has the name and the shape of an array of
        the network.
    """
    given = flatten_with_paths(weights)
    own = flatten_with_paths(variables)
    common = [name for name in own if name in given]
    loaded = {name for name in common if np.shape(given[name]) == own[name].shape}
    report = StartReport(
        loaded=tuple(name for name in common if name in loaded),
        missing=tuple(name for name in own if name not in given),
        reshaped=tuple(
            f"{name} {np.shape(given[name])} in the weights, {own[name].shape} in the "
            "network"
            for name in common
            if name not in loaded
        ),
        unexpected=tuple(name for name in given if name not in own),
    )
    if not loaded:
        raise RefusedError(
            "Weights to start from must fit the network, got none that does. The "
            f"weights have {_first_of(tuple(given)) or 'nothing'}; the network has "
            f"{_first_of(tuple(own))}."
        )

    def load(name: str, x: jax.Array) -> Any:
        if name not in loaded:
            return x
        return put_value(np.asarray(given[name]).astype(x.dtype), x.sharding)

    return map_with_paths(load, variables), report


def _first_of(names: tuple[str, ...]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
