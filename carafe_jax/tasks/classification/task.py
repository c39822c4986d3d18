"""Classification task: training of a network that classifies images."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from rich.console import Console

from carafe_jax.data import ColourJitter
from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification.classes import CLASSES_FILE
from carafe_jax.tasks.classification.data import (
    ClassificationBatch,
    ClassificationData,
    ClassificationDataset,
    SourceContents,
)
from carafe_jax.tasks.classification.evaluator import ClassifierEvaluator
from carafe_jax.tasks.classification.logits import logits_of, normalize
from carafe_jax.tasks.classification.loss import CrossEntropy
from carafe_jax.tasks.tables import Results
from carafe_jax.tasks.training_set import claim_training_set
from carafe_jax.train import Auxiliary, Batches, Evaluator, TrainState, Variables


class ClassificationTask:
    """Train a ResNet to classify images."""

    best = "top1"

    def __init__(
        self,
        config: ClassifierConfig,
        data: ClassificationData,
        *,
        loss: CrossEntropy | None = None,
        source: SourceContents | None = None,
        jitter: ColourJitter | None = None,
        network_name: str = "network",
    ) -> None:
        """Look up the classes of the data, unless `source` is given; open no image.

        Args:
          config: Network.
          data: Labelled images.
          loss: Loss to minimise. None: the cross-entropy without smoothing.
          source: Classes and numbers of images of the data, which are then not opened.
          jitter: Colour jitter of training images. None: none.
          network_name: Name of the network in tables.
        """
        self._dataset = ClassificationDataset(data)
        self.source = self._dataset.contents if source is None else source
        self.network = config.make(len(self.source.classes))
        self._loss, self._data = loss or CrossEntropy(), data
        self._jitter = jitter or ColourJitter()
        self._dtype = config.dtype
        self._network_name = network_name
        self.logits = logits_of(self.network, dtype=self._dtype)
        self._evaluator = ClassifierEvaluator(self.logits, self._dataset)

    def steps_per_epoch(self) -> int:
        """Return the number of full batches of training images, without the remainder.

        Raises:
          RefusedError: There is no full batch.
        """
        steps = self.source.training_images // self._data.batch_size
        if not steps:
            raise RefusedError(
                "`batch_size` must be at most the number of training images, "
                f"{self.source.training_images}, got {self._data.batch_size}."
            )
        return steps

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters and running statistics."""
        size = self._data.image_size
        return dict(self.network.init(key, jnp.zeros((1, size, size, 3))))

    def loss(
        self, variables: Variables, batch: ClassificationBatch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the mean cross-entropy of the images."""
        logits: Any
        image = normalize(self._jitter(key, batch["image"])).astype(self._dtype)
        logits, updated = self.network.apply(
            variables, image, train=True, mutable=["batch_stats"]
        )
        label = jnp.asarray(batch["label"])
        correct = logits.argmax(-1) == label
        auxiliary = Auxiliary({"top1": correct.mean()}, dict(updated))
        return self._loss(logits, label), auxiliary

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
        """Check the data; write the classes, and what the training set is.

        Raises:
          RefusedError: The data cannot be read, or those of a resumed run have other
            classes or another training set.
        """
        self._dataset.check_readable()
        CLASSES_FILE.claim(workdir, self.source.classes)
        claim_training_set(workdir, self._dataset.training_set())

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Evaluate the network on the test set."""
        del workdir, console  # There are no pictures.
        return {self._network_name: self._evaluator.evaluate(state)}
