"""Interface between a task and the training loop."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from carafe_jax.train.state import TrainState

Batch = Mapping[str, Any]
Scalars = dict[str, Any]
Variables = dict[str, Any]


class Auxiliary(NamedTuple):
    """Auxiliary outputs of a loss."""

    scalars: Scalars
    """Scalars to log, means over the examples."""
    collections: Variables
    """Collections that the forward pass updated, such as "batch_stats"."""
    weight: Float[Array, ""] | None = None
    """Weight of a microbatch: the number of examples that loss and scalars are means
    over, or the sum of the weights of pixels. None: all have equal weights."""


@runtime_checkable
class Batches(Iterator[Batch], Protocol):
    """Endless training batches whose position can be saved, like grain's iterators."""

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any], /) -> None: ...


@runtime_checkable
class Evaluator(Protocol):
    """Evaluates a model on data that it is not trained on."""

    @property
    def name(self) -> str:
        """Name of the data, such as "test".

        It is the column `split` of `scalars.csv`, and the prefix in TensorBoard.
        """
        ...

    @property
    def every(self) -> int | None:
        """Steps between evaluations; None for `loop.evaluate_every`."""
        ...

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return scalars by name.

        All processes call it together, and each returns the scalars of all the data.
        The arrays of the state are donated to the next step: keep none of them.
        """
        ...


@runtime_checkable
class SupportsPictures(Protocol):
    """An evaluator that can also draw outputs of the model."""

    def draw(self, state: TrainState) -> Mapping[str, UInt8[np.ndarray, "h w 3"]]:
        """Return pictures by name, RGB."""
        ...


@runtime_checkable
class Task(Protocol):
    """A model with its loss, its data and its evaluators."""

    @property
    def best(self) -> str:
        """Name of the evaluators' scalar that is largest at the best checkpoint."""
        ...

    def steps_per_epoch(self) -> int:
        """Return the number of whole batches in one pass over the training examples."""
        ...

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return the initial variables, with the trainable ones under "params"."""
        ...

    def loss(
        self, variables: Variables, batch: Any, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the mean loss of a batch. Pure; traced by JAX."""
        ...

    def batches(self) -> Batches:
        """Return this process's shard of the training batches, as NumPy arrays."""
        ...

    def evaluators(self) -> Sequence[Evaluator]:
        """Return the evaluators; called once, at the start of a run.

        Data that cannot be evaluated on are refused here, before any step is trained.
        """
        ...
