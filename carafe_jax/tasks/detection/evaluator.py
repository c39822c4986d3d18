"""Evaluation of a detector on the whole test set."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import UInt8

from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.data.spread import spread
from carafe_jax.metrics.coco import MAX_DETECTIONS, Kind
from carafe_jax.tasks.detection.outputs import Predict
from carafe_jax.tasks.detection.quality import DetectionQuality, measure_results
from carafe_jax.tasks.detection.results import ResultsByImage, coco_results
from carafe_jax.tasks.detection.samples import draw_samples
from carafe_jax.train import ShardedPredictor, TrainState, Variables

PICTURES = 4
"""Rows of the sheet that is drawn at each evaluation."""


@runtime_checkable
class EvaluatedData(Protocol):
    """The test set that a detector is evaluated on."""

    @property
    def masks(self) -> bool:
        """Whether the detector has masks."""
        ...

    # Not typed: type checkers do not take a `cached_property` for a property.
    @property
    def held_out(self) -> Any:
        """The test set, `AnnotatedImages`."""
        ...

    def test_batches(
        self,
        *,
        batch_size: int | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ) -> Iterable[Any]:
        """Iterate over the test batches, in which each photograph is exactly once."""
        ...


class DetectorEvaluator:
    """Evaluates a detector on the whole test set.

    The devices of all processes share the photographs. Every process then pastes the
    masks of all of them and computes the numbers, which are equal: the processes
    exchange nothing but the outputs of the network. Unreadable photographs are left
    out, with their objects.
    """

    name = "test"
    every = None

    def __init__(
        self,
        predict: Predict,
        dataset: EvaluatedData,
        *,
        max_detections: Sequence[int] = MAX_DETECTIONS,
    ) -> None:
        """Read no photograph yet.

        Args:
          predict: Function from variables and test batches to detections.
          dataset: Dataset with the test set.
          max_detections: As in `carafe_jax.metrics.average_precision`.
        """

        def detect(variables: Variables, batch: Mapping[str, Any]) -> dict[str, Any]:
            return {**predict(variables, batch), "index": batch["index"]}

        self._predict = ShardedPredictor(detect)
        self._dataset = dataset
        self._max_detections = tuple(max_detections)
        self._truth = functools.cache(self._read_truth)
        self._drawn: tuple[int, ResultsByImage] | None = None

    def evaluate(self, state: TrainState) -> dict[str, float]:
        """Return COCO's numbers, such as "box_ap" and "mask_ap", of the test set."""
        return self.measure_state(state).numbers

    def measure_state(self, state: TrainState) -> DetectionQuality:
        """Return the quality of a state's detections; keep some for `draw`."""
        results = self.detect(state.evaluation_variables, self._batches())
        self._drawn = (
            int(jax.device_get(state.step)),
            some_results(results, count=PICTURES),
        )
        return self.measure_results(results)

    def measure(self, variables: Variables, batches: Iterable[Any]) -> DetectionQuality:
        """Return the quality of the detections of the valid images of test batches."""
        return self.measure_results(self.detect(variables, batches))

    def detect(self, variables: Variables, batches: Iterable[Any]) -> ResultsByImage:
        """Return the detections of the valid images of test batches.

        The next batch is computed while the masks of the current one are pasted.
        """
        images: AnnotatedImages = self._dataset.held_out
        results = ResultsByImage()
        for outputs in self._predict(variables, batches):
            if not self._dataset.masks:
                outputs = {name: x for name, x in outputs.items() if name != "mask"}
            results.update(coco_results(outputs, images))
        return results

    def measure_results(
        self, results: ResultsByImage, *, max_detections: Sequence[int] | None = None
    ) -> DetectionQuality:
        """Return the quality of detections.

        Args:
          results: Detections of each readable photograph.
          max_detections: Replaces that of the evaluator. None: that of the evaluator.

        Raises:
          RefusedError: No photograph could be read, or none of them has an object.
        """
        return measure_results(
            results,
            self._dataset.held_out,
            masks=self._dataset.masks,
            max_detections=max_detections or self._max_detections,
            truth=self._truth,
        )

    def draw(self, state: TrainState) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
        """Return a sheet of some test photographs, with detections and truth."""
        if self._drawn is None or self._drawn[0] != int(jax.device_get(state.step)):
            results = self.detect(state.evaluation_variables, self._batches())
            self._drawn = (
                int(jax.device_get(state.step)),
                some_results(results, count=PICTURES),
            )
        return {"samples": draw_samples(self._dataset.held_out, self._drawn[1])}

    def _batches(self) -> Iterable[Any]:
        return self._dataset.test_batches(
            process_index=jax.process_index(), process_count=jax.process_count()
        )

    def _read_truth(self, kind: Kind) -> dict[str, Any]:
        return self._dataset.held_out.coco(kind=kind)


def some_results(results: ResultsByImage, *, count: int) -> ResultsByImage:
    """Return the detections of photographs that are spread evenly over a test set."""
    readable = sorted(results)
    indices = [readable[place] for place in spread(len(readable), count)]
    return {index: results[index] for index in indices}
