"""Segmentation task: training of a network that classifies each pixel."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from rich.console import Console

from carafe_jax.data import ColourJitter
from carafe_jax.models.segmentation import SegmenterConfig
from carafe_jax.tasks.segmentation.data import SegmentationData, SegmentationDataset
from carafe_jax.tasks.segmentation.evaluator import SegmentationEvaluator
from carafe_jax.tasks.segmentation.label_classes import (
    LABEL_CLASSES_FILE,
    LabelClasses,
)
from carafe_jax.tasks.segmentation.loss import LabelsAt, segmentation_losses
from carafe_jax.tasks.segmentation.outputs import label_maps_of, logits_of
from carafe_jax.tasks.segmentation.report import report_label_maps
from carafe_jax.tasks.segmentation.training_settings import SegmentationTraining
from carafe_jax.tasks.tables import Results
from carafe_jax.tasks.training_set import claim_training_set
from carafe_jax.train import Auxiliary, Batches, Evaluator, TrainState, Variables
from carafe_jax.viz import default_palette

_INIT_SIZE = 64  # Pixels; the parameters are those of any size.


class SegmentationTask:
    """Train a UperNet, PSPNet, PSANet or U-Net."""

    best = "mean_iou"

    def __init__(
        self,
        config: SegmenterConfig,
        data: SegmentationData,
        *,
        training: SegmentationTraining | None = None,
        jitter: ColourJitter | None = None,
        network_name: str = "network",
    ) -> None:
        """List the files of the data; open no photograph.

        Args:
          config: Network.
          data: Photographs with label maps.
          training: Loss. None: the defaults.
          jitter: Colour jitter of training images. None: none.
          network_name: Name of the network in tables.

        Raises:
          RefusedError: There is another number of weights than of classes.
        """
        self.dataset = SegmentationDataset(data)
        images = self.dataset.training
        self._training = training or SegmentationTraining()
        self._training.check_classes(images.classes)
        default: LabelsAt = "image" if config.align_corners else "centre"
        self._labels_at: LabelsAt = self._training.labels_at or default
        palette = images.palette
        if palette is None:
            palette = default_palette(len(images.classes))
        colours = tuple((int(r), int(g), int(b)) for r, g, b in palette)
        self.classes = LabelClasses(images.classes, colours)
        self.network = config.make(len(images.classes))
        self._config, self._name = config, network_name
        self._jitter = jitter or ColourJitter()
        self._evaluator = SegmentationEvaluator(
            label_maps_of(align_corners=config.align_corners),
            self.dataset,
            classes=self.classes,
            logits=logits_of(self.network, dtype=config.dtype),
        )

    def steps_per_epoch(self) -> int:
        """Return the number of batches that visit each training photograph once."""
        return self.dataset.steps_per_epoch()

    def init(self, key: Key[Array, ""]) -> Variables:
        """Return initial parameters and running statistics."""
        images = jnp.zeros((1, _INIT_SIZE, _INIT_SIZE, 3))
        return dict(self.network.init(key, images))

    def loss(
        self, variables: Variables, batch: Mapping[str, Any], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Return the mean cross-entropy of the pixels, with that of auxiliary heads.

        The weight of a microbatch is that of its pixels, so that microbatches make the
        loss of the whole batch. The auxiliary loss has the same weight, which is an
        approximation where its logits have another stride; so has the accuracy, where
        classes have weights.
        """
        jitter_key, key = jax.random.split(key)
        images = self._jitter(jitter_key, batch["image"])
        losses = segmentation_losses(
            self.network,
            variables,
            {**batch, "image": images},
            key,
            dtype=self._config.dtype,
            labels_at=self._labels_at,
            align_corners=self._config.align_corners,
            class_weights=self._training.class_weights,
        )
        scalars = {"classes": losses.classes, "accuracy": losses.accuracy}
        if losses.auxiliary is not None:
            scalars["auxiliary"] = losses.auxiliary
        collections = dict(losses.collections)
        return losses.total, Auxiliary(scalars, collections, losses.weight)

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
          RefusedError: The data cannot be read, or those of a resumed run have other
            classes or another training set.
        """
        self.dataset.check_readable()
        LABEL_CLASSES_FILE.claim(workdir, self.classes)
        claim_training_set(workdir, self.dataset.training_set())

    def report(
        self, state: TrainState, *, workdir: pathlib.Path, console: Console
    ) -> Results:
        """Evaluate the network on the test set; write IoU by class, and pictures."""
        del console  # Evaluation of a process has no bar.
        return report_label_maps(
            self._evaluator,
            state,
            classes=self.classes,
            network_name=self._name,
            workdir=workdir,
        )
