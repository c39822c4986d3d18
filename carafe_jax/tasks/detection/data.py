"""Batches for detection: annotated photographs -> images with boxes and masks."""

import dataclasses
import functools
import logging
from typing import NamedTuple

from carafe_jax.data import (
    AnnotatedImages,
    BatchIterator,
    GroupedOrder,
    UnreadableImages,
    open_annotated_images,
)
from carafe_jax.tasks.data_fields import (
    grouped_evaluation_iterator,
    grouped_training_iterator,
)
from carafe_jax.tasks.detection.buckets import Bucket, make_buckets
from carafe_jax.tasks.detection.data_batches import (
    DetectionTestBatch as DetectionTestBatch,
)
from carafe_jax.tasks.detection.data_batches import (
    DetectionTrainingBatch as DetectionTrainingBatch,
)
from carafe_jax.tasks.detection.data_settings import DetectionData as DetectionData
from carafe_jax.tasks.detection.device_batch import device_batch as device_batch
from carafe_jax.tasks.detection.held_out_examples import (
    HeldOutExamples,
    make_test_buckets,
)
from carafe_jax.tasks.detection.photographs import (
    prepare_photograph as prepare_photograph,
)
from carafe_jax.tasks.detection.trained_objects import (
    Excess,
    TrainingPhotographs,
    check_test_objects,
    check_training_objects,
    training_photographs,
)
from carafe_jax.tasks.detection.training_examples import TrainingExamples
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.training_set import TrainingSet
from carafe_jax.texts import counted

_LOGGER = logging.getLogger(__name__)


class SourceContents(NamedTuple):
    """Contents of a source of annotated photographs."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""
    training_images: int
    """Training photographs, without those that are left out."""
    test_images: int
    largest_count: int
    """Largest number of objects of a training photograph."""


@dataclasses.dataclass(frozen=True)
class DetectionDataset:
    """Annotated photographs, in batches; each split is opened once, on its first use.

    All iterators over a split share its annotations and its count of unreadable
    photographs, so each of these is reported once per process.

    Raises:
      RefusedError: On the first use of a split, if the source cannot be used (see
        `open_annotated_images`).
    """

    data: DetectionData
    masks: bool
    """Whether masks are trained."""
    classes: tuple[str, ...] | None = None
    """Classes of a trained detector, to which those of the test set are matched by
    name. None: those of the training photographs."""

    @functools.cached_property
    def training(self) -> AnnotatedImages:
        """Photographs to train on, with those that are left out."""
        return open_annotated_images(
            self.data.source,
            split="train",
            test_split=self.data.test_split,
            test_fraction=self.data.test_fraction,
            masks="required" if self.masks else "optional",
        )

    @functools.cached_property
    def held_out(self) -> AnnotatedImages:
        """Photographs to evaluate on."""
        return open_annotated_images(
            self.data.source,
            split="test",
            test_split=self.data.test_split,
            test_fraction=self.data.test_fraction,
            classes=self.training.classes if self.classes is None else self.classes,
            masks="required" if self.masks else "optional",
        )

    @functools.cached_property
    def trained(self) -> TrainingPhotographs:
        """The training photographs that take part in training; reads no photograph.

        A line of the log counts those that are left out.
        """
        trained = training_photographs(self.training, masks=self.masks)
        if trained.left_out is not None:
            _LOGGER.info("Training leaves out %s.", trained.left_out)
        return trained

    @property
    def contents(self) -> SourceContents:
        """Classes, and numbers of photographs and objects; reads no photograph."""
        return SourceContents(
            self.training.classes,
            len(self.trained.indices),
            len(self.held_out),
            self.trained.largest_count,
        )

    def training_set(self) -> TrainingSet:
        """Return what a resumed run must find unchanged; read no photograph."""
        return TrainingSet(
            images=len(self.training),
            objects=int(self.trained.counts.sum()),
            digest=self.training.digest(masks=self.masks),
        )

    @functools.cached_property
    def training_examples(self) -> TrainingExamples:
        """Examples to train on, by visit.

        Raises:
          RefusedError: As for `check_objects`.
        """
        self.check_objects()
        buckets = self._training_buckets()
        return TrainingExamples(
            self.data,
            self.training,
            UnreadableImages(self.training, self.data.unreadable_limit),
            buckets,
            GroupedOrder(
                [bucket.indices for bucket in buckets],
                batch_size=self.data.batch_size,
                seed=self.data.seed,
            ),
            self.masks,
        )

    @functools.cached_property
    def held_out_examples(self) -> HeldOutExamples:
        """Examples to evaluate on, by index."""
        return HeldOutExamples(
            self.data,
            self.held_out,
            UnreadableImages(self.held_out, self.data.unreadable_limit),
            make_test_buckets(self.held_out, self.data),
        )

    def steps_per_epoch(self) -> int:
        """Return the number of batches that visit each training photograph once."""
        return self.training_examples.order.batches_per_epoch

    def check_readable(self) -> None:
        """Open both splits, check their objects, and read one photograph of each.

        Raises:
          RefusedError: A split cannot be opened, has no readable photograph, or not the
            objects that a run needs.
        """
        check_test_objects(self.held_out)
        examples = self.training_examples
        examples(examples.order.visit(0), examples.order.generator(0))
        self.held_out_examples.read(0, 0)

    def check_objects(self) -> None:
        """Raise if a training photograph has more objects than `max_objects`.

        If `truncate_objects` is set, a warning states once how many are dropped.

        Raises:
          RefusedError: There is such a photograph, and `truncate_objects` is not set.
        """
        _ = self._excess

    @functools.cached_property
    def _excess(self) -> Excess:
        """Objects beyond `max_objects`, which `truncate_objects` must allow."""
        limit, trained = self.data.max_objects, self.trained
        if not self.data.truncate_objects:
            check_training_objects(self.training, trained, limit=limit)
        excess = trained.excess(limit)
        if not excess.photographs:
            return excess
        photographs = counted(excess.photographs, "training photograph")
        _LOGGER.warning(
            "`truncate_objects` drops the smallest objects of %s with more than %d: %d "
            "of %d objects, fewer if photographs are cropped.",
            photographs,
            limit,
            excess.objects,
            trained.counts.sum(),
        )
        return excess

    def training_batches(
        self, *, process_index: int = 0, process_count: int = 1
    ) -> "BatchIterator[DetectionTrainingBatch]":
        """Iterate endlessly over training batches.

        Each epoch visits every photograph once, in a new order; each visit is another
        random view. A batch holds photographs of one bucket; further photographs of it,
        with weight 0, fill an incomplete batch. The sequence depends on `data` alone.
        `get_state()` of the iterator is a small dict, and `set_state` resumes from it
        bit for bit. Step n of all processes together holds the same examples for any
        number of processes. An unreadable photograph is replaced by the next one of its
        bucket.

        Args:
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over batches of `batch_size / process_count` examples.

        Raises:
          RefusedError: The source cannot be used (see `open_annotated_images`), or the
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
        process_index: int = 0,
        process_count: int = 1,
    ) -> "BatchIterator[DetectionTestBatch]":
        """Iterate exactly once over the whole test set, bucket after bucket.

        Every process receives the same number of batches, of the same sizes. Unreadable
        photographs and the padding of the last batch of a bucket are not `valid`.

        Args:
          batch_size: Images per batch, over all processes together; by default that of
            training.
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over batches of `batch_size / process_count` examples.

        Raises:
          RefusedError: As for `training_batches`.
          TooManyUnreadableImagesError: As for `training_batches`.
        """
        examples = self.held_out_examples
        return grouped_evaluation_iterator(
            examples.read,
            self.data,
            blank=examples.blank,
            groups=[bucket.indices for bucket in examples.buckets],
            batch_size=batch_size,
            process_index=process_index,
            process_count=process_count,
        )

    def _training_buckets(self) -> tuple[Bucket, ...]:
        data = self.data
        if data.crop_size is not None:
            square = Size(data.crop_size, data.crop_size)
            return (Bucket(square, self.trained.indices),)
        sizes = {
            int(index): data.resized(Size(*self.training.size(int(index))))
            for index in self.trained.indices
        }
        return make_buckets(
            (index, size, data.training_size(size)) for index, size in sizes.items()
        )
