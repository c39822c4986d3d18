"""Measures and draws the filled test set while a network is trained."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Int, UInt8

from carafe_jax.metrics import inpainting_quality, to_unit_range
from carafe_jax.tasks.inpainting import report
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    evaluation_batches,
    open_held_out_examples,
    stack_examples,
)
from carafe_jax.train import (
    ShardedPredictor,
    TrainState,
    Variables,
    mean_over_examples,
)

PICTURES = 6  # Of a sheet that is drawn at an evaluation.


class Filler:
    """Fills holes with a network, in batches of a fixed size."""

    def __init__(self, network: nn.Module, *, batch_size: int) -> None:
        """Compile nothing yet; the first batch of each size does."""

        def fill(variables: Variables, batch: InpaintingBatch) -> dict[str, Any]:
            # The truth comes along: devices may put the examples in another order.
            output: Any = network.apply(variables, batch["image"], batch["mask"])
            return {
                "image": batch["image"],
                "mask": batch["mask"],
                "filled": output.composed,
            }

        self._predict = ShardedPredictor(fill)
        self._batch_size = batch_size

    def __call__(
        self, variables: Variables, batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]:
        """Return images, any number of them, with their holes filled."""
        return self.with_truth(variables, batch)["filled"]

    def with_truth(
        self, variables: Variables, batch: InpaintingBatch
    ) -> dict[str, np.ndarray]:
        """Return `filled` images beside their `image` and `mask`.

        Every process calls it, each with all examples.
        """
        pieces: list[dict[str, np.ndarray]]
        pieces = list(self._predict(variables, _own_parts(batch, self._batch_size)))
        return {
            name: np.concatenate([piece[name] for piece in pieces])
            for name in pieces[0]
        }


class FillEvaluator:
    """Measures a network over the whole test set, each process its part of it."""

    name = "test"
    every = None

    def __init__(
        self, network: nn.Module, data: InpaintingData, *, part: str | None = None
    ) -> None:
        """Read no photograph yet.

        Args:
          network: It fills holes.
          data: Sizes and source of the test set.
          part: Name of the network among several whose variables are one state's.
        """

        def measure(
            variables: Variables, batch: InpaintingBatch
        ) -> dict[str, Float[Array, "n"]]:
            output: Any = network.apply(variables, batch["image"], batch["mask"])
            return quality_of_each(output.composed, batch)

        self._data, self._part = data, part
        self._measure = ShardedPredictor(measure)
        self._fill = Filler(network, batch_size=data.batch_size)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return the means over the test images of what `quality_of_each` measures."""
        batches = evaluation_batches(
            self._data,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        return mean_over_examples(self._measure(self.variables(state), batches))

    def samples(self, state: TrainState, *, count: int) -> dict[str, np.ndarray]:
        """Return some examples from all over the test set, and their fills."""
        examples = open_held_out_examples(self._data)
        rows = spread(len(examples), count=count).tolist()
        some = stack_examples([examples[row] for row in rows])
        return self._fill.with_truth(self.variables(state), some)

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Return a sheet of filled test images."""
        some = self.samples(state, count=PICTURES)
        truth = InpaintingBatch(image=some["image"], mask=some["mask"])
        sheet = report.draw_samples(truth, fills={"filled": some["filled"]})
        return {"samples": np.asarray(sheet)}

    def variables(self, state: TrainState) -> Variables:
        """Return the variables of the network that is measured."""
        variables = state.evaluation_variables
        return variables if self._part is None else part(variables, self._part)


def part(variables: Variables, name: str) -> Variables:
    """Return one network's variables out of those of several."""
    return {
        collection: tree[name] for collection, tree in variables.items() if name in tree
    }


def spread(examples: int, *, count: int) -> Int[np.ndarray, "rows"]:
    """Return indices from all over a set; each where there are no more."""
    return np.linspace(0, examples - 1, min(count, examples)).astype(int)


def quality_of_each(
    filled: Float[Array | np.ndarray, "n h w 3"], truth: InpaintingBatch
) -> dict[str, Float[Array, "n"]]:
    """Return the quality of filled images: of the hole of each, and of each as a whole.

    Args:
      filled: In [-1, 1].
      truth: What they were made from.
    """
    measured = inpainting_quality(
        to_unit_range(jnp.asarray(filled)),
        to_unit_range(jnp.asarray(truth["image"])),
        masks=jnp.asarray(truth["mask"]),
    )
    return {
        f"{region}_{name}": values
        for region, numbers in measured._asdict().items()
        for name, values in numbers._asdict().items()
    }


def _own_parts(batch: InpaintingBatch, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process's part of pieces of `size` examples, filled up to equal."""
    processes, own = jax.process_count(), jax.process_index()
    local = -(-size // processes)
    count = len(batch["image"])
    for start in range(0, count, local * processes):
        rows = np.arange(start, min(start + local * processes, count))
        if processes > 1:
            rows = np.pad(rows, (0, local * processes - len(rows)), mode="edge")
            valid = start + np.arange(local * processes) < count
            mine = slice(own * local, (own + 1) * local)
            rows, valid = rows[mine], valid[mine]
        else:
            valid = np.ones(len(rows), bool)
        yield {
            "image": batch["image"][rows],
            "mask": batch["mask"][rows],
            "valid": valid,
        }
