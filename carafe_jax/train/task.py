"""What is to be learned: all that the training loop asks of a problem."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from flax.training.train_state import TrainState
from jaxtyping import Array, Float, Key, PyTree

Batch = Mapping[str, Any]
Scalars = dict[str, Any]


@runtime_checkable
class Batches(Iterator[Batch], Protocol):
    """Endless training batches whose position can be saved, as grain's iterators."""

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any], /) -> None: ...


@runtime_checkable
class Task(Protocol):
    """A model with its loss, its data and its measure of success.

    The model has parameters alone: no collection that changes in the forward pass, such
    as the running statistics of a batch norm.
    """

    best: str
    """Name of the scalar of `evaluate` that is largest at the best checkpoint."""

    def init(self, key: Key[Array, ""]) -> PyTree[jax.Array]:
        """Return initial parameters."""
        ...

    def loss(
        self, params: PyTree[jax.Array], batch: Any, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Scalars]:
        """Return the loss of a batch and scalars to log. Pure; traced by JAX."""
        ...

    def batches(self) -> Batches:
        """Start this process's training batches, as NumPy arrays."""
        ...

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure the model on data that it is not trained on."""
        ...
