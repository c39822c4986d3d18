"""Evaluation of a classifier on the whole test set."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from carafe_jax.tasks.classification.data import (
    ClassificationDataset,
    ClassificationTestBatch,
)
from carafe_jax.tasks.classification.logits import Logits
from carafe_jax.tasks.classification.quality import measure_each
from carafe_jax.train import (
    ShardedPredictor,
    TrainState,
    Variables,
    mean_over_examples,
)


class ClassifierEvaluator:
    """Evaluates a classifier on the whole test set, each process on its shard."""

    name = "test"
    every = None

    def __init__(self, logits: Logits, dataset: ClassificationDataset) -> None:
        """Read no image yet."""

        def measure(
            variables: Variables, batch: ClassificationTestBatch
        ) -> dict[str, Float[Array, "n"]]:
            label = jnp.asarray(batch["label"])
            return measure_each(logits(variables, batch["image"]), label)

        self._measure = ShardedPredictor(measure)
        self._dataset = dataset

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return the means of `measure_each` over the test images."""
        batches = self._dataset.evaluation_batches(
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return self.measure(state.evaluation_variables, batches)

    def measure(self, variables: Variables, batches: Iterable[Any]) -> dict[str, float]:
        """Return the means over the valid images of test batches."""
        return mean_over_examples(self._measure(variables, batches))
