"""Inpainting as a task to train: loss, data, evaluation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Key, PyTree

from carafe_jax.data import (
    InpaintingBatch,
    InpaintingData,
    held_out_examples,
    training_batches,
)
from carafe_jax.metrics import inpainting_quality, to_unit_range
from carafe_jax.models import UNet
from carafe_jax.train import Aside, Batches, TrainState, Variables
from experiments.inpainting.network import Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Weights of the mean absolute errors, as in Liu et al. (arXiv:1804.07723)."""

    hole: float = 6.0
    """In the hole."""
    given: float = 1.0
    """At the pixels that are given."""


class InpaintingTask:
    """Train a U-Net to fill holes."""

    best = "hole_psnr"

    def __init__(self, model: Model, loss: Loss, data: InpaintingData) -> None:
        """Open the test set; training data are opened by `batches`."""
        self._network: UNet = model.make()
        self._loss = loss
        self._data = data
        self.test: InpaintingBatch = held_out_examples(data)
        self._fill = jax.jit(self._apply)

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters."""
        size = self._data.crop_size
        image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
        return {"params": self._network.init(key, image, mask)["params"]}

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Aside]:
        """Weigh the mean absolute error in the hole and at the given pixels."""
        del key  # Nothing in the network is random.
        image, mask = batch["image"], batch["mask"]
        output: Any = self._network.apply(variables, image, mask, train=True)
        error = jnp.abs(output.predicted - image).mean(-1, keepdims=True)
        hole = (error * mask).sum() / jnp.maximum(mask.sum(), 1)
        given = (error * (1 - mask)).sum() / jnp.maximum((1 - mask).sum(), 1)
        loss = self._loss.hole * hole + self._loss.given * given
        return loss, Aside({"hole_l1": hole, "given_l1": given}, collections={})

    def batches(self) -> Batches:
        """Start the training batches of this process."""
        return training_batches(
            self._data,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure the filled test set: means over its images."""
        filled = self.fill(state.best_variables["params"], self.test)
        return quality(filled, self.test)

    def fill(
        self, params: PyTree[jax.Array], batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]:
        """Fill the holes of any number of images, in batches of a fixed size."""
        image, mask, size = batch["image"], batch["mask"], self._data.batch_size
        pieces = [
            np.asarray(self._fill(params, image[i : i + size], mask[i : i + size]))
            for i in range(0, len(image), size)
        ]
        return np.concatenate(pieces)

    def _apply(self, params, image, mask):
        output: Any = self._network.apply({"params": params}, image, mask)
        return output.composed


def quality(
    filled: Float32[np.ndarray, "n h w 3"], truth: InpaintingBatch
) -> dict[str, float]:
    """Average the quality of filled images, in [-1, 1], over the images."""
    measured = inpainting_quality(
        to_unit_range(jnp.asarray(filled)),
        to_unit_range(jnp.asarray(truth["image"])),
        masks=jnp.asarray(truth["mask"]),
    )
    return {
        f"{region}_{name}": float(np.mean(values))
        for region, numbers in measured._asdict().items()
        for name, values in numbers._asdict().items()
    }
