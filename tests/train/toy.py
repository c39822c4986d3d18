"""A task that trains in milliseconds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from carafe_jax.train import Auxiliary, Evaluator, TrainState


class CountedBatches:
    """Endless batches that depend on their number alone."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(self.taken)
        self.taken += 1
        x = rng.normal(size=(self.size, 3)).astype(np.float32)
        return {"x": x, "y": x.sum(1) + rng.normal(size=self.size).astype(np.float32)}

    def get_state(self) -> dict[str, Any]:
        return {"taken": self.taken}

    def set_state(self, state: dict[str, Any]) -> None:
        self.taken = state["taken"]


@dataclasses.dataclass
class Scores:
    """Evaluator that returns the given scores in turn, then the distance from ones."""

    name: str = "test"
    every: int | None = None
    scalar: str = "score"
    scores: tuple[float, ...] = ()
    evaluations: int = 0

    def evaluate(self, state: TrainState) -> dict[str, float]:
        params: Any = state.params
        score = -float(jnp.abs(params["w"] - 1).sum())
        if self.evaluations < len(self.scores):
            score = self.scores[self.evaluations]
        self.evaluations += 1
        return {self.scalar: score}


@dataclasses.dataclass
class Regression:
    """Linear regression with random noise in each step, which depends on the keys."""

    size: int = 4
    nan_after: int | None = None
    scores: tuple[float, ...] = ()
    best: str = "score"
    measures: tuple[Any, ...] | None = None

    def steps_per_epoch(self):
        return 3

    def init(self, key):
        params = {"w": jax.random.normal(key, (3,)), "b": jnp.zeros(())}
        return {"params": params, "statistics": {"seen": jnp.zeros(())}}

    def loss(self, variables, batch, key):
        params = variables["params"]
        noise = 0.1 * jax.random.normal(key, batch["y"].shape)
        error = batch["x"] @ params["w"] + params["b"] - batch["y"] + noise
        loss = jnp.square(error).mean()
        if self.nan_after is not None:
            loss = jnp.where(batch["seen"].mean() >= self.nan_after, jnp.nan, loss)
        seen = variables["statistics"]["seen"] + len(error)
        aux = Auxiliary({"mean_error": error.mean()}, {"statistics": {"seen": seen}})
        return loss, aux

    def batches(self):
        if self.nan_after is None:
            return CountedBatches(self.size)
        return SeenBatches(self.size)

    def evaluators(self) -> Sequence[Evaluator]:
        return (Scores(scores=self.scores),) if self.measures is None else self.measures


class SeenBatches(CountedBatches):
    """Batches that include the number of batches before them."""

    def __next__(self):
        seen = np.full(self.size, self.taken, np.float32)
        return {**super().__next__(), "seen": seen}


class PowerCut(BaseException):
    """Ends a run like a killed process, without any cleanup."""
