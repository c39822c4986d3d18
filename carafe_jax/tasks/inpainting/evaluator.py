"""Evaluation of a network on the test set while it is trained."""

from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting.data import (
    HeldOutExamples,
    InpaintingBatch,
    InpaintingDataset,
    InpaintingTestBatch,
    stack_examples,
)
from carafe_jax.tasks.inpainting.filler import Filler
from carafe_jax.tasks.inpainting.joint_variables import part
from carafe_jax.tasks.inpainting.quality import quality_of_each
from carafe_jax.tasks.inpainting.samples import draw_samples
from carafe_jax.train import (
    ShardedPredictor,
    TrainState,
    Variables,
    mean_over_examples,
)

PICTURES = 6  # Rows of the sheet that is drawn at each evaluation.


class FillEvaluator:
    """Evaluates a network on the whole test set, each process on its shard."""

    name = "test"
    every = None

    def __init__(
        self, network: nn.Module, dataset: InpaintingDataset, *, part: str | None = None
    ) -> None:
        """Read no photograph yet.

        Args:
          network: Network that fills holes.
          dataset: Dataset with the test set.
          part: Name of the network, where one state holds the variables of several.
        """

        def measure(
            variables: Variables, batch: InpaintingBatch
        ) -> dict[str, Float[Array, "n"]]:
            output: Any = network.apply(variables, batch["image"], batch["mask"])
            return quality_of_each(output.composed, batch)

        self._dataset, self._part = dataset, part
        self._measure = ShardedPredictor(measure)
        self._fill = Filler(network, batch_size=dataset.data.batch_size)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return the means of `quality_of_each` over the test images."""
        batches = self._dataset.evaluation_batches(
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return mean_over_examples(self._measure(self.variables(state), batches))

    def samples(self, state: TrainState, *, count: int) -> dict[str, np.ndarray]:
        """Return examples spread evenly over the test set, and their fills."""
        some = readable_samples(self._dataset.held_out, count=count)
        return self._fill.with_truth(self.variables(state), some)

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Return a sheet of filled test images."""
        some = self.samples(state, count=PICTURES)
        truth = InpaintingBatch(image=some["image"], mask=some["mask"])
        sheet = draw_samples(truth, fills={"filled": some["filled"]})
        return {"samples": np.asarray(sheet)}

    def variables(self, state: TrainState) -> Variables:
        """Return the variables of the network that is evaluated."""
        variables = state.evaluation_variables
        return variables if self._part is None else part(variables, self._part)


def readable_samples(examples: HeldOutExamples, *, count: int) -> InpaintingTestBatch:
    """Return readable examples spread evenly over a test set.

    Raises:
      RefusedError: None of them is readable.
    """
    rows = spread(len(examples), count)
    read = [x for row in rows if (x := examples[row])["valid"]]
    if not read:
        raise RefusedError(
            f"`source` must have readable test images, got none among {len(rows)} of "
            f"{examples.data.source!r}."
        )
    return stack_examples(read)
