"""Inpainting as a task to train: reconstruction loss, data, evaluation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Int, Key, UInt8

from carafe_jax.losses import masked_l1
from carafe_jax.metrics import inpainting_quality, to_unit_range
from carafe_jax.models import UNet
from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    open_test_examples,
    stack_examples,
    training_batches,
)
from carafe_jax.train import Aside, Batches, Scalars, TrainState, Variables
from experiments.inpainting import report
from experiments.inpainting.network import Model

PICTURES = 6  # Of a sheet that is drawn at an evaluation.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Weights of the mean absolute errors, as in Liu et al. (arXiv:1804.07723)."""

    hole: float = 6.0
    """In the hole."""
    given: float = 1.0
    """At the pixels that are given."""

    def __call__(
        self, predicted: Float[Array, "n h w 3"], batch: InpaintingBatch
    ) -> tuple[Float[Array, ""], Scalars]:
        """Return the weighted sum of both errors, and each by its name."""
        image, mask = batch["image"], batch["mask"]
        hole = masked_l1(predicted, image, mask=mask)
        given = masked_l1(predicted, image, mask=1 - mask)
        loss = self.hole * hole + self.given * given
        return loss, {"hole_l1": hole, "given_l1": given}


class InpaintingTask:
    """Train a U-Net to fill holes."""

    best = "hole_psnr"

    def __init__(self, model: Model, loss: Loss, data: InpaintingData) -> None:
        """Open the test set; training data are opened by `batches`."""
        self._network: UNet = model.make()
        self._loss = loss
        self._data = data
        self._filler = Filler(self._network, batch_size=data.batch_size)
        self.test: InpaintingBatch = stack_examples(open_test_examples(data))

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters."""
        image, mask = blank(self._data.crop_size)
        return {"params": self._network.init(key, image, mask)["params"]}

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Aside]:
        """Weigh the mean absolute error in the hole and at the given pixels."""
        del key  # Nothing in the network is random.
        image, mask = batch["image"], batch["mask"]
        output: Any = self._network.apply(variables, image, mask, train=True)
        loss, scalars = self._loss(output.predicted, batch)
        return loss, Aside(scalars, collections={})

    def batches(self) -> Batches:
        """Start the training batches of this process."""
        return batches_of_process(self._data)

    def fill(
        self, state: TrainState, batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]:
        """Fill the holes of any number of images."""
        return self._filler(state.best_variables, batch)

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Measure the filled test set: means over its images."""
        return quality(self.fill(state, self.test), self.test)

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Draw some of the filled test set."""
        some = take(self.test, spread(len(self.test["image"]), count=PICTURES))
        return draw_filled(some, self.fill(state, some))


class Filler:
    """Fills holes with a network, in batches of a fixed size."""

    def __init__(self, network: nn.Module, *, batch_size: int) -> None:
        """Compile nothing yet; the first batch of each size does."""

        def composed(variables: Variables, image: jax.Array, mask: jax.Array):
            output: Any = network.apply(variables, image, mask)
            return output.composed

        self._composed = jax.jit(composed)
        self._batch_size = batch_size

    def __call__(
        self, variables: Variables, batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]:
        """Fill the holes of any number of images."""
        image, mask, size = batch["image"], batch["mask"], self._batch_size
        pieces = [
            np.asarray(
                self._composed(variables, image[i : i + size], mask[i : i + size])
            )
            for i in range(0, len(image), size)
        ]
        return np.concatenate(pieces)


def blank(size: int) -> tuple[Float32[Array, "1 h w 3"], Float32[Array, "1 h w 1"]]:
    """Return an image and a mask to make parameters for."""
    return jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))


def batches_of_process(data: InpaintingData) -> Batches:
    """Start this process's part of the training batches."""
    return training_batches(
        data,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def spread(examples: int, *, count: int) -> Int[np.ndarray, "rows"]:
    """Choose examples from all over a set; each where there are no more."""
    return np.linspace(0, examples - 1, min(count, examples)).astype(int)


def take(batch: InpaintingBatch, rows: Int[np.ndarray, "rows"]) -> InpaintingBatch:
    """Take some examples of a set."""
    return InpaintingBatch(image=batch["image"][rows], mask=batch["mask"][rows])


def draw_filled(
    batch: InpaintingBatch, filled: Float32[np.ndarray, "n h w 3"]
) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Draw a sheet of filled images, to be watched while a network is trained."""
    sheet = report.draw_samples(batch, fills={"filled": filled})
    return {"samples": np.asarray(sheet)}


def quality(
    filled: Float32[np.ndarray, "n h w 3"], truth: InpaintingBatch
) -> dict[str, float]:
    """Average the quality of filled images, in [-1, 1], over the images."""
    each = quality_of_each(filled, truth)
    return {name: float(np.mean(values)) for name, values in each.items()}


def quality_of_each(
    filled: Float32[np.ndarray, "n h w 3"], truth: InpaintingBatch
) -> dict[str, Float32[np.ndarray, "n"]]:
    """Measure filled images, in [-1, 1]: the hole of each, and each as a whole."""
    measured = inpainting_quality(
        to_unit_range(jnp.asarray(filled)),
        to_unit_range(jnp.asarray(truth["image"])),
        masks=jnp.asarray(truth["mask"]),
    )
    return {
        f"{region}_{name}": np.asarray(values)
        for region, numbers in measured._asdict().items()
        for name, values in numbers._asdict().items()
    }
