"""Inpainting task: training of a network that fills holes."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Key
from rich.console import Console

from carafe_jax.tasks.inpainting.data import (
    InpaintingBatch,
    InpaintingData,
    InpaintingDataset,
)
from carafe_jax.tasks.inpainting.evaluator import FillEvaluator
from carafe_jax.tasks.inpainting.loss import ReconstructionLoss
from carafe_jax.tasks.inpainting.report import report_fills
from carafe_jax.tasks.tables import Results
from carafe_jax.tasks.training_set import claim_training_set
from carafe_jax.train import Auxiliary, Batches, Evaluator, TrainState, Variables


class FillingTask:
    """Data, evaluation and report of the tasks whose networks fill holes."""

    best = "hole_psnr"

    def __init__(
        self,
        dataset: InpaintingDataset,
        *,
        evaluator: FillEvaluator,
        network_name: str,
        sample_rows: int,
    ) -> None:
        """Open no files yet.

        Args:
          dataset: Photographs and holes.
          evaluator: Evaluator of the network that fills.
          network_name: Name of the network in tables.
          sample_rows: Rows of samples.png.
        """
        self._dataset, self._evaluator = dataset, evaluator
        self._data = dataset.data
        self._network_name, self._sample_rows = network_name, sample_rows

    def steps_per_epoch(self) -> int:
        """Return the number of batches of one crop per photograph, at least 1."""
        return max(1, len(self._dataset.training) // self._data.batch_size)

    def batches(self) -> Batches:
        """Open this process's shard of the training batches."""
        return self._dataset.training_batches(
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def evaluators(self) -> Sequence[Evaluator]:
        """Check that both splits can be read; return the evaluator of the test set."""
        self._dataset.check_readable()
        return (self._evaluator,)

    def prepare(self, workdir: pathlib.Path) -> None:
        """Check the data, and write what the training set is.

        Raises:
          RefusedError: The data cannot be read, or those of a resumed run have another
            training set.
        """
        self._dataset.check_readable()
        claim_training_set(workdir, self._dataset.training_set())

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Evaluate network and classic fills; draw some of them to samples.png."""
        return report_fills(
            self._evaluator,
            state,
            dataset=self._dataset,
            network_name=self._network_name,
            rows=self._sample_rows,
            path=workdir / "samples.png",
            console=console,
        )


class InpaintingTask(FillingTask):
    """Train one network to fill holes, by its reconstruction loss."""

    def __init__(
        self,
        network: nn.Module,
        data: InpaintingData,
        *,
        loss: ReconstructionLoss,
        network_name: str,
        sample_rows: int,
    ) -> None:
        """Open no files yet."""
        dataset = InpaintingDataset(data)
        super().__init__(
            dataset,
            evaluator=FillEvaluator(network, dataset),
            network_name=network_name,
            sample_rows=sample_rows,
        )
        self._network, self._loss = network, loss

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters."""
        image, mask = blank(self._data.crop_size)
        return {"params": self._network.init(key, image, mask)["params"]}

    def loss(
        self, variables: Variables, batch: InpaintingBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the weighted mean absolute errors in the hole and at given pixels."""
        del key  # The network is deterministic.
        image, mask = batch["image"], batch["mask"]
        output: Any = self._network.apply(variables, image, mask, train=True)
        loss, scalars = self._loss(output.predicted, batch)
        return loss, Auxiliary(scalars, collections={})


def blank(size: int) -> tuple[Float32[Array, "1 h w 3"], Float32[Array, "1 h w 1"]]:
    """Return an image and a mask of zeros, to initialise parameters with."""
    return jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
