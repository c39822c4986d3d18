"""Filling of batches with a network."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Float32

from carafe_jax.tasks.inpainting.data import InpaintingBatch
from carafe_jax.train import ShardedPredictor, Variables

Fill = Callable[[InpaintingBatch], Float32[np.ndarray, "n h w 3"]]
"""Function that returns the images of a batch, in [-1, 1], with their holes filled."""


class Filler:
    """Fills holes with a network, in batches of a fixed size."""

    def __init__(self, network: nn.Module, *, batch_size: int) -> None:
        """Compile nothing yet; the first batch of each size is compiled."""

        def fill(variables: Variables, batch: InpaintingBatch) -> dict[str, Any]:
            # With the truth: sharding may reorder the examples.
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
        """Return any number of images with their holes filled."""
        return self.with_truth(variables, batch)["filled"]

    def with_truth(
        self, variables: Variables, batch: InpaintingBatch
    ) -> dict[str, np.ndarray]:
        """Return `filled` images with their `image` and `mask`.

        Every process must call it, with all examples.
        """
        pieces: list[dict[str, np.ndarray]]
        pieces = list(self._predict(variables, _own_shards(batch, self._batch_size)))
        return {
            name: np.concatenate([piece[name] for piece in pieces])
            for name in pieces[0]
        }


def _own_shards(batch: InpaintingBatch, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield this process's shard of batches of `size`, padded to equal shards."""
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
