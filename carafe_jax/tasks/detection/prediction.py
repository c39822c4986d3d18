"""Detection of objects in photographs of any size with a trained network."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from carafe_jax.arguments import check_below_1, check_count
from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import no_type_check
from carafe_jax.models.detection import FasterRCNN, MaskRCNN
from carafe_jax.run_length_codes import RLE, decode_mask
from carafe_jax.tasks.detection.categories import Categories
from carafe_jax.tasks.detection.data import DetectionData, prepare_photograph
from carafe_jax.tasks.detection.mask_encoding import encode_masks
from carafe_jax.tasks.detection.outputs import predictions_of
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.photograph_batches import (
    BatchPredictor,
    read_pixels,
    weights_digest,
)
from carafe_jax.train import Variables


@no_type_check
@dataclasses.dataclass(frozen=True)
class PhotographDetections:
    """Objects that were detected in a photograph, by descending score."""

    boxes: Float[np.ndarray, "d 4"]
    """x1, y1, x2, y2 in pixels of the photograph."""
    scores: Float[np.ndarray, "d"]
    """Probabilities of the classes."""
    labels: Int[np.ndarray, "d"]
    """Indices of the classes."""
    names: tuple[str, ...]
    """Names of the classes."""
    size: tuple[int, int]
    """Height and width of the photograph, in pixels."""
    encoded_masks: tuple[RLE, ...] | None
    """Instance masks as COCO's run-length encodings. None: the network has none."""

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def masks(self) -> Bool[np.ndarray, "d h w"] | None:
        """Instance masks over the photograph; None: the network has none.

        They are decoded here: 100 masks of a photograph of 12 megapixels take 1.2 GB.
        """
        if self.encoded_masks is None:
            return None
        masks = np.zeros((len(self), *self.size), bool)
        for mask, encoded in zip(masks, self.encoded_masks, strict=True):
            mask[...] = decode_mask(encoded)
        return masks


@dataclasses.dataclass(frozen=True)
class TrainedDetector:
    """A trained detector, with its variables, classes and the sizes of its images."""

    network: FasterRCNN | MaskRCNN
    variables: Variables
    name: str
    """Name of the network in tables."""
    dtype: str
    categories: Categories
    data: DetectionData
    """Sizes of the images; its source is not opened."""
    step: int | None
    """Step of the checkpoint; None: the weights are of no run."""
    size_divisor: int = SIZE_DIVISOR
    """Number whose multiples are the sides of images where `data.test_padding` is
    "exact"."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.categories.names

    def with_limits(
        self, *, score_threshold: float, max_detections: int
    ) -> "TrainedDetector":
        """Return the detector with other limits of its detections.

        Args:
          score_threshold: Only objects of a higher score are detections, in [0, 1).
          max_detections: Largest number of detections in a photograph. There are no
            more than proposals times classes.

        Raises:
          RefusedError: A limit breaks its rule.
        """
        check_below_1("score_threshold", score_threshold)
        check_count("max_detections", max_detections)
        # The network computes every slot, also those that cannot be filled.
        slots = self.network.proposals.count * len(self.classes)
        max_detections = min(max_detections, slots)
        settings = dataclasses.replace(
            self.network.detections,
            score_threshold=score_threshold,
            count=max_detections,
            candidates=max(self.network.detections.candidates, max_detections),
        )
        if settings == self.network.detections:
            return self  # With its compiled programs.
        network = self.network.clone(detections=settings)
        return dataclasses.replace(self, network=network)

    def provenance(self) -> dict[str, Any]:
        """Return all that detections depend on, besides photographs and classes."""
        return {
            "detector": self.name,
            "step": self.step,
            "weights": weights_digest(self.variables),
            "dtype": self.dtype,
            "short_side": self.data.short_side,
            "long_side": self.data.long_side,
            "score_threshold": self.network.detections.score_threshold,
            "max_detections": self.network.detections.count,
        }

    def predict(self, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Return the detections of a test batch, as `predictions_of` describes."""
        return predictions_of(self.network, dtype=self.dtype)(self.variables, batch)

    @no_type_check
    def detect(
        self, photograph: UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]
    ) -> PhotographDetections:
        """Return the objects in a photograph of any size.

        Args:
          photograph: RGB in [0, 255], or an image file, which is turned upright.

        Raises:
          RefusedError: The array is not uint8 of shape (h, w, 3), or has no pixel.
          UnreadableImageError: The file cannot be read.
        """
        return self._predictor.one(photograph)

    @no_type_check
    def detect_all(
        self,
        photographs: Iterable[UInt8[np.ndarray, "h w 3"] | str | os.PathLike[str]],
        *,
        batch_size: int = 1,
    ) -> Iterator[PhotographDetections | UnreadableImageError]:
        """Return an iterator over the objects in photographs, in their order.

        Photographs of one padded size share batches; a program is compiled for each
        size. A few batches of resized photographs are in memory at a time.

        Args:
          photographs: As `detect` takes them, of any sizes.
          batch_size: Photographs per batch.

        Returns:
          The detections in the order of the photographs; for a file that cannot be
          read, its error instead.

        Raises:
          RefusedError: `batch_size` is not positive, or an array is not uint8 of shape
            (h, w, 3).
        """
        return self._predictor.all(photographs, batch_size=batch_size)

    @functools.cached_property
    def _predictor(self) -> BatchPredictor["_Prepared", PhotographDetections]:
        return BatchPredictor(
            prepare=self._prepare,
            size=lambda prepared: prepared.example["image"].shape,
            predict=self._detect,
        )

    def _prepare(self, photograph: Any) -> "_Prepared":
        pixels = read_pixels(photograph)
        example = prepare_photograph(pixels, self.data, divisor=self.size_divisor)
        height, width, _ = pixels.shape
        return _Prepared(example, (height, width))

    def _detect(
        self, prepared: Sequence["_Prepared"]
    ) -> Iterator[PhotographDetections]:
        """Yield the detections of images of one padded size."""
        examples: list[Any] = [dict(each.example) for each in prepared]
        batch = jax.tree.map(lambda *x: np.stack(x), *examples)
        arrays = jax.device_get(self._program(self.variables, batch))
        # One at a time, as masks are encoded: no one takes those of copies.
        for row, each in enumerate(prepared):
            yield self._result({name: x[row] for name, x in arrays.items()}, each.size)

    def _result(
        self, arrays: Mapping[str, np.ndarray], size: tuple[int, int]
    ) -> PhotographDetections:
        found = {name: x[arrays["object"]] for name, x in arrays.items()}
        labels: list[int] = found["label"].tolist()
        masks = None
        if "mask" in found:
            masks = tuple(encode_masks(found["mask"], found["box"], size=size))
        return PhotographDetections(
            boxes=found["box"],
            scores=found["score"],
            labels=found["label"],
            names=tuple(self.classes[label] for label in labels),
            size=size,
            encoded_masks=masks,
        )

    @functools.cached_property
    def _program(self) -> Any:
        return jax.jit(predictions_of(self.network, dtype=self.dtype))


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """A photograph as an example of a test batch, and its own size."""

    example: Mapping[str, Any]
    size: tuple[int, int]
