"""Evaluation of a segmentation network on the whole test set."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, UInt8

from carafe_jax.data.spread import spread
from carafe_jax.errors import RefusedError
from carafe_jax.metrics import SegmentationQuality, segmentation_quality
from carafe_jax.tasks.segmentation.data import SegmentationDataset
from carafe_jax.tasks.segmentation.label_classes import LabelClasses
from carafe_jax.tasks.segmentation.outputs import (
    Images,
    Logits,
    Predict,
    confusion_matrices,
)
from carafe_jax.tasks.segmentation.samples import draw_samples
from carafe_jax.train import DeviceFunction, ShardedPredictor, TrainState, Variables

PICTURES = 4
"""Rows of the sheet that is drawn at each evaluation."""


class SegmentationEvaluator:
    """Evaluates a network at the size of the photographs, each of them once.

    The devices of all processes share the photographs; the processes exchange the
    confusion matrices alone. Unreadable photographs are left out.
    """

    name = "test"
    every = None

    def __init__(
        self,
        predict: Predict,
        dataset: SegmentationDataset,
        *,
        classes: LabelClasses,
        logits: Callable[[Variables, Images], Logits] | None = None,
    ) -> None:
        """Read no photograph yet.

        Args:
          predict: Function from variables and test batches to label maps.
          dataset: Dataset with the test set.
          classes: Classes, with their colours in pictures.
          logits: Function from variables and the "images" of a batch to the "logits"
            that `predict` has in their place. It is compiled for each size of the
            images alone. None: batches have what `predict` needs.
        """
        count = len(classes.names)
        before = None
        if logits is not None:
            before = DeviceFunction(logits, takes="images", gives="logits")

        def measure(variables: Variables, batch: Mapping[str, Any]) -> Array:
            predicted = predict(variables, batch)
            return confusion_matrices(batch["label"], predicted, classes=count)

        def draw(variables: Variables, batch: Mapping[str, Any]) -> dict[str, Array]:
            return {"predicted": predict(variables, batch), "index": batch["index"]}

        self._measure = ShardedPredictor(measure, before=before)
        self._predict = ShardedPredictor(draw, before=before)
        self._dataset, self._classes = dataset, classes

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return mean IoU and pixel accuracy on the test set."""
        return self.measure_state(state).numbers

    def measure_state(self, state: TrainState) -> SegmentationQuality:
        """Return the quality of the label maps of a state."""
        return self.measure(state.evaluation_variables, self._batches())

    def measure(
        self, variables: Variables, batches: Iterable[Any]
    ) -> SegmentationQuality:
        """Return the quality of the label maps of the valid images of test batches.

        Raises:
          RefusedError: No photograph can be read, or all their pixels are ignored.
        """
        total = np.zeros((len(self._classes.names),) * 2, np.int64)
        for matrices in self._measure(variables, batches):
            total += matrices.sum(0, dtype=np.int64)
        if not total.any():
            raise RefusedError(
                "The test set must hold a photograph that can be read, with pixels "
                "that are not ignored, got none."
            )
        return segmentation_quality(total)

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Return a sheet of some test photographs, with truth and label maps.

        They are spread evenly over the test set: neighbours may be frames of one video.
        """
        chosen = spread(len(self._dataset.held_out), PICTURES)
        sheet = self.sheet(state.evaluation_variables, self._batches(chosen=chosen))
        return {"samples": sheet}

    def sheet(
        self, variables: Variables, batches: Iterable[Any]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Return all photographs of test batches, with truth and label maps.

        Unreadable ones are left out.
        """
        predicted: dict[int, np.ndarray] = {}
        for outputs in self._predict(variables, batches):
            predicted |= dict(
                zip(outputs["index"].tolist(), outputs["predicted"], strict=True)
            )
        drawn = dict(sorted(predicted.items()))
        return draw_samples(self._dataset.held_out, drawn, self._classes)

    def _batches(self, *, chosen: Sequence[int] | None = None) -> Iterable[Any]:
        return self._dataset.test_batches(
            chosen=chosen,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
