"""Detection task: training of a detector on annotated photographs."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from rich.console import Console

from carafe_jax.models.detection import DetectorConfig
from carafe_jax.tasks.detection.categories import CATEGORIES_FILE, Categories
from carafe_jax.tasks.detection.data import DetectionData, DetectionDataset
from carafe_jax.tasks.detection.device_batch import device_batch
from carafe_jax.tasks.detection.evaluator import DetectorEvaluator
from carafe_jax.tasks.detection.loss import detection_losses
from carafe_jax.tasks.detection.outputs import predictions_of
from carafe_jax.tasks.detection.quality import recall_limits
from carafe_jax.tasks.detection.report import report_detections
from carafe_jax.tasks.detection.training_settings import DetectionTraining
from carafe_jax.tasks.tables import Results
from carafe_jax.tasks.training_set import claim_training_set
from carafe_jax.train import Auxiliary, Batches, Evaluator, TrainState, Variables

_LOSSES = ("rpn_objectness", "rpn_boxes", "classes", "boxes")
_INIT_SIZE = 64  # Pixels; the parameters are those of any size.


class DetectionTask:
    """Train a Faster R-CNN or Mask R-CNN."""

    best = "box_ap"

    def __init__(
        self,
        config: DetectorConfig,
        data: DetectionData,
        *,
        training: DetectionTraining | None = None,
        network_name: str = "network",
    ) -> None:
        """Read the annotations; open no photograph.

        Args:
          config: Detector.
          data: Photographs, with masks for a Mask R-CNN.
          training: Matching and sampling. None: the defaults.
          network_name: Name of the network in tables.
        """
        self.dataset = DetectionDataset(data, config.has_masks)
        images = self.dataset.training
        self.categories = Categories(images.classes, images.category_ids)
        self.network = config.make(len(self.categories.names))
        self._config, self._name = config, network_name
        self._training = training or DetectionTraining()
        predict = predictions_of(self.network, dtype=config.dtype)
        # Any: a cached property counts as no property of a protocol.
        dataset: Any = self.dataset
        self._evaluator = DetectorEvaluator(
            predict,
            dataset,
            max_detections=recall_limits(config.detections.count),
        )

    def steps_per_epoch(self) -> int:
        """Return the number of batches that visit each training photograph once."""
        return self.dataset.steps_per_epoch()

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters and running statistics."""
        images = jnp.zeros((1, _INIT_SIZE, _INIT_SIZE, 3))
        sizes = jnp.full((1, 2), _INIT_SIZE)
        return dict(self.network.init(key, images, sizes))

    def loss(
        self, variables: Variables, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the sum of the losses of both stages.

        The weight of a microbatch is the number of its images, without those that fill
        the batch. Each loss is divided by its count of anchors, regions or objects in
        the microbatch, not in the whole batch. Gradients of microbatches are thus
        close to those of the batch, but equal only if the counts per image are.
        """
        losses = detection_losses(
            self.network,
            variables,
            device_batch(batch, dtype=self._config.dtype),
            key,
            settings=self._training,
            norms=self._config.norms,
        )
        names = (*_LOSSES, "masks") if self._config.has_masks else _LOSSES
        scalars = {name: getattr(losses, name) for name in (*names, "accuracy")}
        images = jnp.asarray(batch["weight"]).sum()
        return losses.total, Auxiliary(scalars, dict(losses.collections), images)

    def batches(self) -> Batches:
        """Open this process's shard of the training batches."""
        return self.dataset.training_batches(
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def evaluators(self) -> Sequence[Evaluator]:
        """Check that both splits can be read; return the evaluator of the test set."""
        self.dataset.check_readable()
        return (self._evaluator,)

    def prepare(self, workdir: pathlib.Path) -> None:
        """Check the data; write the classes, and what the training set is.

        Raises:
          RefusedError: The data cannot be read, a photograph has too many objects, or
            the data of a resumed run have other classes or another training set.
        """
        self.dataset.check_readable()
        CATEGORIES_FILE.claim(workdir, self.categories)
        claim_training_set(workdir, self.dataset.training_set())

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Evaluate the network on the test set; write AP by class, and pictures."""
        del console  # Evaluation of a process has no bar.
        return report_detections(
            self._evaluator, state, network_name=self._name, workdir=workdir
        )
