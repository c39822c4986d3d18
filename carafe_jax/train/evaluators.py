"""Evaluation during training: its schedule, and prediction on all devices."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import PyTree

from carafe_jax.errors import RefusedError
from carafe_jax.train.loop_config import Loop
from carafe_jax.train.mesh import (
    batch_sharding,
    make_mesh,
    put_batch,
    put_replicated,
    replicated,
)
from carafe_jax.train.task import Batch, Evaluator, Variables

TRAINING = "train"
"""Split of the training scalars; no evaluator may have this name."""


def check_evaluators(evaluators: Sequence[Evaluator]) -> None:
    """Raise if the evaluators' names clash or are invalid, or one is never due.

    Raises:
      RefusedError: Two evaluators have the same name; a name is that of training or
        contains a slash; or `every` is not a positive integer.
    """
    names = [evaluator.name for evaluator in evaluators]
    if len({TRAINING, *names}) <= len(names):
        raise RefusedError(
            f"The evaluators' names must differ, and none be {TRAINING!r}, got {names}."
        )
    for evaluator in evaluators:
        if "/" in evaluator.name:
            raise RefusedError(
                "The name of an evaluator must have no slash, which file names cannot "
                f"hold, got {evaluator.name!r}."
            )
        every: Any = evaluator.every
        if every is not None and (type(every) is not int or every < 1):
            raise RefusedError(
                f"`every` of the evaluator {evaluator.name!r} must be a positive "
                f"integer or None, got {every!r}."
            )


def due(evaluators: Sequence[Evaluator], *, step: int, loop: Loop) -> list[Evaluator]:
    """Return the evaluators that are due after a step.

    Each has its own interval, or else that of the loop. At the last step all are due.

    Args:
      evaluators: Evaluators of a task.
      step: Number of steps that have been run.
      loop: Loop with its length and its evaluations in steps.

    Raises:
      RefusedError: The length, or an interval that is needed, is in epochs.
    """
    if step == loop.total_steps:
        return list(evaluators)
    return [
        x for x in evaluators if step % (x.every or loop.steps_between_evaluations) == 0
    ]


class DeviceFunction:
    """A function of variables and a batch whose outputs stay on the devices.

    The outputs replace the entry of the batch that it takes.

    Predictors that share it compile it once, for each shape of what it takes.
    """

    def __init__(
        self, compute: Callable[[Variables, Any], PyTree], *, takes: str, gives: str
    ) -> None:
        """Store the function.

        Args:
          compute: A pure function of the variables and of one entry of a batch. Its
            outputs have a leading axis of examples; the outputs of an example depend on
            that example alone.
          takes: Name of the entry.
          gives: Name of the outputs in the batch.
        """
        self._given, self._takes, self._gives = compute, takes, gives
        self._program: Callable[[Variables, Any], Any] | None = None

    def replaced(self, variables: Variables, batch: Batch, *, mesh: Mesh) -> Batch:
        """Return a batch on the devices of a mesh with the outputs."""
        program = self._program = self._program or self._compiled(mesh)
        rest = {name: x for name, x in batch.items() if name != self._takes}
        return {**rest, self._gives: program(variables, batch[self._takes])}

    def _compiled(self, mesh: Mesh) -> Callable[[Variables, Any], Any]:
        def computed(variables: Variables, taken: Any) -> PyTree:
            # Shards are gathered where they are used; examples stay on their devices.
            variables = lax.with_sharding_constraint(variables, replicated(mesh))
            return self._given(variables, taken)

        sharding = batch_sharding(mesh)
        return jax.jit(computed, in_shardings=(None, sharding), out_shardings=sharding)


class ShardedPredictor:
    """Computes a function of variables and batches on all devices of all processes."""

    def __init__(
        self,
        predict: Callable[[Variables, Any], PyTree],
        *,
        before: DeviceFunction | None = None,
        mesh: Mesh | None = None,
    ) -> None:
        """Store the function; the first batch of each shape compiles it.

        Args:
          predict: A pure function. Its outputs have a leading axis of examples; the
            outputs of an example depend on that example alone.
          before: Function that is applied to each batch first. None: none.
          mesh: From `make_mesh`; None creates one at the first batch.
        """
        self._given, self._before = predict, before
        self._mesh = mesh
        self._program: Callable[[Variables, Batch], Any] | None = None

    def __call__(self, variables: Variables, batches: Iterable[Batch]) -> Iterator[Any]:
        """Yield the outputs of each batch, on every process, as NumPy arrays.

        The outputs are those of the global batch, in the order of the processes.
        Examples that are not valid are left out.

        A batch is padded to a multiple of the devices, and to the size of the largest
        batch before it, so that a smaller one needs no compilation. The next batch is
        computed while the caller uses the outputs of the current one.

        Args:
          variables: Arrays of any sharding, or NumPy arrays.
          batches: This process's shard of each batch, as NumPy arrays of equal leading
            axes; "valid" (bool) marks the examples that count; without it, all count.
            Every process yields the same number of batches, of the same sizes.
        """
        mesh = self._mesh = self._mesh or make_mesh()
        program = self._program = self._program or self._compiled(mesh)
        variables = put_replicated(variables, mesh=mesh)
        rows, running = 0, None
        for batch in batches:
            padded = _padded(batch, multiple=len(mesh.local_devices), least=rows)
            rows = len(padded["valid"])
            placed = put_batch(padded, mesh=mesh)
            if self._before is not None:
                placed = self._before.replaced(variables, placed, mesh=mesh)
            following = program(variables, placed)
            if running is not None:
                yield _fetched(running)
            running = following
        if running is not None:
            yield _fetched(running)

    def _compiled(self, mesh: Mesh) -> Callable[[Variables, Batch], Any]:
        def predicted(variables: Variables, batch: Batch) -> tuple[PyTree, jax.Array]:
            # Shards are gathered where they are used; examples stay on their devices.
            variables = lax.with_sharding_constraint(variables, replicated(mesh))
            return self._given(variables, batch), batch["valid"]

        # Replicated within the program, so that each process holds all outputs.
        return jax.jit(
            predicted,
            in_shardings=(None, batch_sharding(mesh)),
            out_shardings=replicated(mesh),
        )


def mean_over_examples(
    measured: Iterable[Mapping[str, np.ndarray]],
) -> dict[str, float]:
    """Return the mean of each metric over the examples of all batches.

    Args:
      measured: Metrics by name, with a value for each example of a batch.

    Raises:
      RefusedError: There is no example.
    """
    batches = [batch for batch in measured if len(next(iter(batch.values())))]
    if not batches:
        raise RefusedError(
            "The test set must hold an example that can be read, got none."
        )
    return {
        name: float(np.mean(np.concatenate([batch[name] for batch in batches])))
        for name in batches[0]
    }


def _padded(batch: Batch, *, multiple: int, least: int) -> dict[str, Any]:
    """Pad a batch with invalid examples; without "valid", all others are valid."""
    examples = len(jax.tree.leaves(dict(batch))[0])
    valid = np.asarray(batch.get("valid", np.ones(examples, bool)))
    rows = max(least, -(-examples // multiple) * multiple, multiple)

    def pad(x: Any) -> np.ndarray:
        x = np.asarray(x)
        widths = [(0, rows - examples)] + [(0, 0)] * (x.ndim - 1)
        # Copies of the last example: zeros could lie outside the network's input range.
        return np.pad(x, widths, mode="edge" if examples else "constant")

    padded: Mapping[str, Any] = jax.tree.map(pad, dict(batch))
    return {**padded, "valid": np.pad(valid, (0, rows - examples))}


def _fetched(outputs: tuple[PyTree, jax.Array]) -> PyTree:
    predicted, valid = jax.device_get(outputs)
    return jax.tree.map(lambda x: x[valid], predicted)
