"""Scalars of training, fetched and written at log steps."""

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np
import optax

from carafe_jax.train.evaluators import TRAINING
from carafe_jax.train.optimizers import rate_at
from carafe_jax.train.records import Records
from carafe_jax.train.task import Scalars


class NotFiniteError(ArithmeticError):
    """The loss or the gradient became NaN or infinite."""


class TrainingLog:
    """Scalars of steps since the last flush, still on their devices."""

    def __init__(
        self, records: Records, *, learning_rates: Mapping[str, optax.Schedule]
    ) -> None:
        """Start the clock by which the speed is measured."""
        self._records, self._learning_rates = records, learning_rates
        self._pending: list[tuple[int, Scalars]] = []
        self._examples = 0
        self._start = time.perf_counter()

    def add(self, step: int, scalars: Scalars, *, examples: int) -> None:
        """Store the scalars of a step without waiting for them."""
        self._pending.append((step, scalars))
        self._examples += examples

    def flush(self) -> dict[str, float]:
        """Write and return the means since the last flush.

        Raises:
          NotFiniteError: The loss or the gradient of a step is not finite. The means of
            the steps before it are written.
        """
        if not self._pending:
            return {}
        pending = [(step, jax.device_get(scalars)) for step, scalars in self._pending]
        finite = list(itertools.takewhile(_is_finite, pending))
        means: dict[str, float] = {}
        if finite:
            last, names = finite[-1][0], finite[0][1]
            means = {n: float(np.mean([s[n] for _, s in finite])) for n in names}
            seconds = time.perf_counter() - self._start
            means["images_per_second"] = self._examples / seconds
            for name, schedule in self._learning_rates.items():
                means[name] = rate_at(schedule, last - 1)
            self._records.write(last, TRAINING, means)
        if len(finite) < len(pending):
            step, scalars = pending[len(finite)]
            raise NotFiniteError(_explanation(step, scalars))
        self._pending, self._examples = [], 0
        self._start = time.perf_counter()
        return means

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Exclude the time of the block, which does not train, from the speed.

        If no step was made since the last flush, the clock is reset.
        """
        before = time.perf_counter()
        try:
            yield
        finally:
            now = time.perf_counter()
            self._start = self._start + now - before if self._pending else now


def _is_finite(entry: tuple[int, Scalars]) -> bool:
    _, scalars = entry
    return bool(np.isfinite([scalars["loss"], scalars["gradient_norm"]]).all())


def _explanation(step: int, scalars: Scalars) -> str:
    return (
        f"The loss is {scalars['loss']} and the gradient norm "
        f"{scalars['gradient_norm']} at step {step}; nothing was saved since they "
        "stopped being finite. `scalars.csv` shows when they began to grow. Start "
        "afresh, in another `workdir`, with a smaller learning rate, a longer warm-up "
        "or gradients clipped at a smaller norm."
    )
