"""Inpainting as a task to train: a network that fills holes."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Key

from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    describe_source,
    training_batches,
)
from carafe_jax.tasks.inpainting.evaluation import report_fills
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator
from carafe_jax.tasks.inpainting.loss import ReconstructionLoss
from carafe_jax.train import Auxiliary, Batches, Evaluator, Variables


class InpaintingTask:
    """Train one network to fill holes, by its reconstruction loss."""

    best = "hole_psnr"

    def __init__(
        self,
        network: nn.Module,
        loss: ReconstructionLoss,
        data: InpaintingData,
        *,
        network_name: str,
        sample_rows: int,
    ) -> None:
        """Open nothing yet."""
        self._network, self._loss, self._data = network, loss, data
        self._evaluator = FillEvaluator(network, data)
        self.report = functools.partial(
            report_fills,
            self._evaluator,
            data=data,
            network_name=network_name,
            rows=sample_rows,
        )

    def steps_per_epoch(self) -> int:
        """Return the batches of one crop of each training photograph, at least one."""
        return steps_per_epoch(self._data)

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters."""
        image, mask = blank(self._data.crop_size)
        return {"params": self._network.init(key, image, mask)["params"]}

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the weighted mean absolute errors in the hole and at given pixels."""
        del key  # Nothing in the network is random.
        image, mask = batch["image"], batch["mask"]
        output: Any = self._network.apply(variables, image, mask, train=True)
        loss, scalars = self._loss(output.predicted, batch)
        return loss, Auxiliary(scalars, collections={})

    def batches(self) -> Batches:
        """Open the training batches of this process."""
        return batches_of_process(self._data)

    def evaluators(self) -> Sequence[Evaluator]:
        """Return the evaluator of the test set."""
        return (self._evaluator,)


def steps_per_epoch(data: InpaintingData) -> int:
    """Return the batches of one crop of each training photograph, at least one."""
    return max(1, describe_source(data).training_images // data.batch_size)


def blank(size: int) -> tuple[Float32[Array, "1 h w 3"], Float32[Array, "1 h w 1"]]:
    """Return an image and a mask to make parameters for."""
    return jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))


def batches_of_process(data: InpaintingData) -> Batches:
    """Open this process's part of the training batches."""
    return training_batches(
        data,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
