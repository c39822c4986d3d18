"""What is to be learned: all that the training loop asks of a problem."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from carafe_jax.train.state import TrainState

Batch = Mapping[str, Any]
Scalars = dict[str, Any]
Variables = dict[str, Any]


class Aside(NamedTuple):
    """What comes out of a loss beside the loss."""

    scalars: Scalars
    """To log; means over the examples."""
    collections: Variables
    """The collections that the forward pass changed, "batch_stats" say."""


@runtime_checkable
class Batches(Iterator[Batch], Protocol):
    """Endless training batches whose position can be saved, as grain's iterators."""

    def get_state(self) -> dict[str, Any]: ...

    def set_state(self, state: dict[str, Any], /) -> None: ...


@runtime_checkable
class Task(Protocol):
    """A model with its loss, its data and its measure of success."""

    best: str
    """Name of the scalar of `evaluate` that is largest at the best checkpoint."""

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial variables, those to learn under "params"."""
        ...

    def loss(
        self, variables: Variables, batch: Any, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Aside]:
        """Return the mean loss of a batch. Pure; traced by JAX."""
        ...

    def batches(self) -> Batches:
        """Start this process's training batches, as NumPy arrays."""
        ...

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure the model on data that it is not trained on."""
        ...


@runtime_checkable
class Draws(Protocol):
    """A task that can also show what the model does."""

    def draw(self, state: TrainState) -> Mapping[str, UInt8[np.ndarray, "h w 3"]]:
        """Return pictures by name, RGB."""
        ...
