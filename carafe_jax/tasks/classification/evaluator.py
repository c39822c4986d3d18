"""Measures a classifier over the whole test set."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from carafe_jax.tasks.classification.data import (
    ClassificationData,
    ClassificationTestBatch,
    evaluation_batches,
)
from carafe_jax.train import (
    ShardedPredictor,
    TrainState,
    Variables,
    mean_over_examples,
)

Logits = Callable[[Variables, Any], Float[Array, "n k"]]
"""Returns the logits of images, RGB in [0, 255]."""


class ClassifierEvaluator:
    """Measures a classifier over the whole test set, each process its part of it."""

    name = "test"
    every = None

    def __init__(self, logits: Logits, data: ClassificationData) -> None:
        """Read no image yet."""

        def measure(
            variables: Variables, batch: ClassificationTestBatch
        ) -> dict[str, Float[Array, "n"]]:
            label = jnp.asarray(batch["label"])
            return measure_each(logits(variables, batch["image"]), label)

        self._measure = ShardedPredictor(measure)
        self._data = data

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return top-1, top-5 and the loss, means over the test images."""
        batches = evaluation_batches(
            self._data,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return self.measure(state.evaluation_variables, batches)

    def measure(self, variables: Variables, batches: Iterable[Any]) -> dict[str, float]:
        """Return the means over the valid images of test batches."""
        return mean_over_examples(self._measure(variables, batches))


def measure_each(
    logits: Float[Array, "n k"], label: Int[Array, "n"]
) -> dict[str, Float[Array, "n"]]:
    """Return what is measured of each image: 1 where top-1 or top-5 hold, the loss."""
    of_label = jnp.take_along_axis(logits, label[:, None], axis=-1)
    # Ties count against the network, or a constant one would always be right.
    above = (logits >= of_label).sum(-1) - 1
    return {
        "top1": (above < 1).astype(jnp.float32),
        "top5": (above < 5).astype(jnp.float32),
        "loss": optax.softmax_cross_entropy_with_integer_labels(logits, label),
    }
