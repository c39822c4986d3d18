"""Batches for segmentation: photographs with label maps -> images with labels."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from carafe_jax.data import (
    BatchIterator,
    GroupedOrder,
    SegmentedImages,
    UnreadableImages,
)
from carafe_jax.tasks.data_fields import (
    grouped_evaluation_iterator,
    grouped_training_iterator,
)
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.buckets import Bucket, group_by_aspect
from carafe_jax.tasks.segmentation.data_batches import (
    SegmentationTestBatch as SegmentationTestBatch,
)
from carafe_jax.tasks.segmentation.data_batches import (
    SegmentationTrainingBatch as SegmentationTrainingBatch,
)
from carafe_jax.tasks.segmentation.data_settings import (
    SegmentationData as SegmentationData,
)
from carafe_jax.tasks.segmentation.held_out_examples import (
    HeldOutExamples,
    make_test_groups,
)
from carafe_jax.tasks.segmentation.photographs import open_split
from carafe_jax.tasks.segmentation.training_examples import TrainingExamples
from carafe_jax.tasks.segmentation.views import Views
from carafe_jax.tasks.training_set import TrainingSet
from carafe_jax.texts import counted, percent

_LOGGER = logging.getLogger(__name__)


class SourceContents(NamedTuple):
    """Contents of a source of segmented photographs."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""
    training_images: int
    test_images: int


@dataclasses.dataclass(frozen=True)
class SegmentationDataset:
    """Segmented photographs, in batches; each split is opened once, on its first use.

    All iterators over a split share its files and its count of unreadable photographs,
    so each of these is reported once per process.

    Raises:
      RefusedError: On the first use of a split, if the source cannot be used (see
        `open_segmented_images`).
    """

    data: SegmentationData
    classes: tuple[str, ...] | None = None
    """Classes of a trained network, to which those of the test set are matched by name.
    None: those of the training photographs."""
    views: Views = Views()
    """Views of the test photographs."""

    @functools.cached_property
    def training(self) -> SegmentedImages:
        """Photographs to train on."""
        return open_split(self.data, "train")

    @functools.cached_property
    def held_out(self) -> SegmentedImages:
        """Photographs to evaluate on."""
        classes = self.training.classes if self.classes is None else self.classes
        return open_split(self.data, "test", classes=classes)

    @property
    def contents(self) -> SourceContents:
        """Classes, and numbers of photographs; reads no photograph."""
        return SourceContents(
            self.training.classes, len(self.training), len(self.held_out)
        )

    def training_set(self) -> TrainingSet:
        """Return what a resumed run must find unchanged; read no pixels."""
        return TrainingSet(images=len(self.training), digest=self.training.digest())

    @functools.cached_property
    def training_examples(self) -> TrainingExamples:
        """Examples to train on, by visit. A log line has their padding."""
        buckets = _training_buckets(self.training, self.data)
        order = GroupedOrder(
            [bucket.indices for bucket in buckets],
            batch_size=self.data.batch_size,
            seed=self.data.seed,
        )
        return TrainingExamples(
            self.data,
            self.training,
            UnreadableImages(self.training, self.data.unreadable_limit),
            buckets,
            order,
        )

    @functools.cached_property
    def held_out_examples(self) -> HeldOutExamples:
        """Examples to evaluate on, by index."""
        return HeldOutExamples(
            self.data,
            self.held_out,
            UnreadableImages(self.held_out, self.data.unreadable_limit),
            self.views,
            make_test_groups(self.held_out, self.data, self.views),
        )

    def steps_per_epoch(self) -> int:
        """Return the number of batches that visit each training photograph once."""
        return self.training_examples.order.batches_per_epoch

    def check_readable(self) -> None:
        """Open both splits, and read one photograph of each, with its label map.

        Raises:
          RefusedError: A split cannot be opened, or has no readable photograph.
        """
        examples = self.training_examples
        examples(examples.order.visit(0), examples.order.generator(0))
        self.held_out_examples.read(0, 0)

    def training_batches(
        self, *, process_index: int = 0, process_count: int = 1
    ) -> "BatchIterator[SegmentationTrainingBatch]":
        """Iterate endlessly over training batches.

        Each epoch visits every photograph once, in a new order; each visit is another
        random view. A batch holds photographs of one bucket at one short side, which is
        drawn for the batch; further photographs of it, whose labels are all ignored,
        fill an incomplete batch. The sequence depends on `data` alone. `get_state()` of
        the iterator is a small dict, and `set_state` resumes from it bit for bit. Step
        n of all processes together holds the same examples for any number of processes.
        An unreadable photograph is replaced by the next one of its bucket.

        Args:
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over batches of `batch_size / process_count` examples.

        Raises:
          RefusedError: The source cannot be used (see `open_segmented_images`), or the
            batch cannot be split evenly; later, no photograph can be read.
          TooManyUnreadableImagesError: Later, more than `unreadable_limit` photographs
            are unreadable.
        """
        return grouped_training_iterator(
            self.training_examples,
            self.data,
            order=self.training_examples.order,
            process_index=process_index,
            process_count=process_count,
        )

    def test_batches(
        self,
        *,
        batch_size: int | None = None,
        chosen: Sequence[int] | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ) -> "BatchIterator[SegmentationTestBatch]":
        """Iterate exactly once over the test set, size after size.

        Every process receives the same number of batches, of the same sizes. Unreadable
        photographs and the padding of the last batch of a size are not `valid`.

        Args:
          batch_size: Images per batch, over all processes together; by default that of
            training.
          chosen: Indices of the photographs to iterate over. None: the whole test set.
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over batches of `batch_size / process_count` examples.

        Raises:
          RefusedError: As for `training_batches`.
          TooManyUnreadableImagesError: As for `training_batches`.
        """
        examples = self.held_out_examples
        groups = [group.indices for group in examples.groups]
        if chosen is not None:
            groups = [np.intersect1d(group, chosen) for group in groups]
        return grouped_evaluation_iterator(
            examples.read,
            self.data,
            blank=examples.blank,
            groups=groups,
            batch_size=batch_size,
            process_index=process_index,
            process_count=process_count,
        )


def _training_buckets(
    images: SegmentedImages, data: SegmentationData
) -> tuple[Bucket, ...]:
    """Group all training photographs by aspect ratio, and log their padding."""
    if data.crop_size is not None:
        return (Bucket((Size(*data.crop_size),), np.arange(len(images))),)
    buckets, padding = group_by_aspect(images, data)
    _LOGGER.info(
        "Training photographs are in %s of similar aspect, with batches of %s: %s of "
        "the pixels are padding.",
        counted(len(buckets), "bucket"),
        counted(len({size for bucket in buckets for size in bucket.sizes}), "size"),
        percent(padding, digits=1),
    )
    return buckets
