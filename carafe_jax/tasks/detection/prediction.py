"""Detection of objects in photographs of any size with a trained network."""

import dataclasses
import functools
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from carafe_jax.arguments import check_below_1, check_count
from carafe_jax.data import UnreadableImageError, decode_image, open_image
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.detection import FasterRCNN, MaskRCNN
from carafe_jax.run_length_codes import RLE, decode_mask
from carafe_jax.tasks.detection.categories import Categories
from carafe_jax.tasks.detection.data import DetectionData, prepare_photograph
from carafe_jax.tasks.detection.mask_encoding import encode_masks
from carafe_jax.tasks.detection.outputs import predictions_of
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.train import Variables

_WINDOW = 4  # Batches that are read together, so that images of a size can meet.


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
            "weights": _digest(self.variables),
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
        (found,) = self._detect([self._read(photograph)], rows=1)
        return found

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
        check_count("batch_size", batch_size)
        return self._detect_all(iter(photographs), batch_size)

    def _detect_all(
        self, photographs: Iterator[Any], batch_size: int
    ) -> Iterator[PhotographDetections | UnreadableImageError]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            while window := list(itertools.islice(photographs, _WINDOW * batch_size)):
                read = list(pool.map(self._read_or_error, window))
                outcomes: list[Any] = list(read)
                for group in _batches(read, batch_size):
                    members = [outcomes[index] for index in group]
                    detected = self._detect(members, rows=batch_size)
                    for index, found in zip(group, detected, strict=True):
                        outcomes[index] = found
                yield from outcomes

    def _read_or_error(self, photograph: Any) -> "_Prepared | UnreadableImageError":
        try:
            return self._read(photograph)
        except UnreadableImageError as error:
            return error

    def _read(self, photograph: Any) -> "_Prepared":
        if isinstance(photograph, str | os.PathLike):
            path = cast("str | os.PathLike[str]", photograph)
            with open_image(path) as file:
                pixels = decode_image(file)
        else:
            pixels = _checked(photograph)
        example = prepare_photograph(pixels, self.data, divisor=self.size_divisor)
        height, width, _ = pixels.shape
        return _Prepared(example, (height, width))

    def _detect(
        self, prepared: Sequence["_Prepared"], *, rows: int
    ) -> list[PhotographDetections]:
        """Return the detections of images of one padded size."""
        # Copies fill the batch, so that only one size is compiled.
        filled = [*prepared, *[prepared[-1]] * (rows - len(prepared))]
        examples: list[Any] = [dict(each.example) for each in filled]
        batch = jax.tree.map(lambda *x: np.stack(x), *examples)
        arrays = jax.device_get(self._program(self.variables, batch))
        return [
            self._result({name: x[row] for name, x in arrays.items()}, each.size)
            for row, each in enumerate(prepared)
        ]

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


def _digest(variables: Variables) -> str:
    """Return a number of 64 bits that differs between weights, in hexadecimal."""
    digest = hashlib.sha256()
    for array in jax.tree.leaves(jax.device_get(variables)):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _batches(
    read: Sequence[_Prepared | UnreadableImageError], batch_size: int
) -> Iterator[list[int]]:
    """Yield the indices of images of one padded size, at most `batch_size` together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, each in enumerate(read):
        if isinstance(each, _Prepared):
            groups.setdefault(each.example["image"].shape, []).append(index)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]


def _checked(photograph: Any) -> UInt8[np.ndarray, "h w 3"]:
    array = np.asarray(photograph)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3:
        raise RefusedError(
            "`photograph` must be uint8 of shape (h, w, 3), or a path, got "
            f"{array.dtype} of shape {array.shape}."
        )
    return array
