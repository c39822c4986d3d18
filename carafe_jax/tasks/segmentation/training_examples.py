"""Training examples of segmentation: random views of photographs and label maps."""

import dataclasses
import functools

import numpy as np

from carafe_jax.data import (
    IGNORED_LABEL,
    GroupedOrder,
    SegmentedImages,
    UnreadableImages,
    Visit,
)
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph
from carafe_jax.tasks.padded_images import padded_image
from carafe_jax.tasks.segmentation.augmentation import augment
from carafe_jax.tasks.segmentation.buckets import Bucket
from carafe_jax.tasks.segmentation.data_batches import SegmentationTrainingBatch
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.photographs import read_photograph
from carafe_jax.tasks.segmentation.resizing import resize_labels, scaled_size


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Random views of the training photographs, by visit."""

    data: SegmentationData
    images: SegmentedImages
    unreadable: UnreadableImages
    buckets: tuple[Bucket, ...]
    order: GroupedOrder
    """Order of the images of the buckets."""

    def __call__(
        self, visit: Visit, rng: np.random.Generator
    ) -> SegmentationTrainingBatch:
        """Return a view of a photograph, or of the next readable one of its bucket.

        If there is none, the example is blank.
        """
        bucket = self.buckets[visit.group]
        side = int(self.order.batch_generator(visit.batch).integers(len(bucket.sizes)))
        made = self.unreadable.read_or_next_of(
            int(np.searchsorted(bucket.indices, visit.index)),
            functools.partial(self._view, rng=rng, side=side, size=bucket.sizes[side]),
            group=bucket.indices,
        )
        example = _blank(bucket.sizes[side]) if made is None else made
        if visit.fills:
            example["label"] = np.full_like(example["label"], IGNORED_LABEL)
        return example

    def _view(
        self, index: int, *, rng: np.random.Generator, side: int, size: Size
    ) -> SegmentationTrainingBatch:
        """Return a view of a photograph.

        Args:
          index: Index of the photograph.
          rng: Generator of the random choices.
          side: Place of the short side in `short_sides`. Crops have their own scale.
          size: Padded size.
        """
        data = self.data
        pixels, labels = read_photograph(self.images, index)
        own = Size(*labels.shape)
        if data.crop_size is None:
            resized = data.training_sizes(own)[side]
        else:
            resized = scaled_size(own, rng.uniform(*data.crop_scales))
        image, labels = augment(
            rng,
            resize_photograph(pixels, resized),
            resize_labels(labels, resized),
            data=data,
        )
        part = _random_part(rng, resized, size, flips=data.flips)
        image, labels = image[part], labels[part]
        return SegmentationTrainingBatch(
            image=padded_image(image, size),
            image_size=np.array(image.shape[:2], np.int32),
            label=padded_image(labels, size, value=IGNORED_LABEL),
        )


def _random_part(
    rng: np.random.Generator, size: Size, largest: Size, *, flips: str
) -> tuple[slice, slice]:
    """Return rows and columns of a random part of an image, flipped or not.

    Args:
      rng: Generator of the random choices.
      size: Of the image.
      largest: Largest size of the part, which is the whole image if it fits.
      flips: "none", "horizontal" or "both", as in `SegmentationData`.
    """
    rows, columns = (
        _random_range(rng, side, limit)
        for side, limit in zip(size, largest, strict=True)
    )
    if flips != "none" and rng.integers(2):
        columns = _reversed(columns)
    if flips == "both" and rng.integers(2):
        rows = _reversed(rows)
    return rows, columns


def _random_range(rng: np.random.Generator, side: int, limit: int) -> slice:
    length = min(side, limit)
    start = int(rng.integers(side - length + 1))
    return slice(start, start + length, 1)


def _reversed(places: slice) -> slice:
    before = places.start - 1
    return slice(places.stop - 1, None if before < 0 else before, -1)


def _blank(size: Size) -> SegmentationTrainingBatch:
    return SegmentationTrainingBatch(
        image=np.zeros((*size, 3), np.uint8),
        image_size=np.zeros(2, np.int32),
        label=np.full(size, IGNORED_LABEL, np.uint8),
    )
