"""Batches for classification: labelled images -> crops with labels."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from carafe_jax.arguments import check, check_fractions, check_positive
from carafe_jax.data import (
    BatchIterator,
    LabelledImages,
    Split,
    TestSplit,
    UnreadableImages,
    decode_box,
    decode_centre,
    open_labelled_images,
    random_box,
    upright_size,
)
from carafe_jax.tasks.data_fields import (
    check_image_data,
    evaluation_iterator,
    training_iterator,
)
from carafe_jax.tasks.training_set import TrainingSet
from carafe_jax.train import unstored_field


class ClassificationBatch(TypedDict):
    """Labelled images to train on."""

    image: UInt8[np.ndarray, "*b h w 3"]
    """RGB in [0, 255]."""
    label: Int32[np.ndarray, "*b"]
    """Index of the class."""


class ClassificationTestBatch(ClassificationBatch):
    """Labelled images to evaluate on."""

    valid: Bool[np.ndarray, "*b"]
    """False for unreadable images, and for the padding of the last batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Source and crops of labelled images."""

    source: str
    """Source of the images: the path of a folder SPLIT/CLASS/*.jpg (splits `train` and
    `val`) or CLASS/*.jpg, or "tfds:NAME"."""
    image_size: int = 224
    """Side of the images in a batch, in pixels."""
    resize_size: int = 256
    """Shorter side of resized test images, in pixels, before the centre crop."""
    batch_size: int = 256
    """Images per step, over all processes together."""
    crop_area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest area of a training crop, as fractions of the image's."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest aspect ratio of a training crop, width over height."""
    flip: bool = True
    """Whether to flip training images left to right with probability 1/2."""
    seed: int = 0
    """Seed of the order and crops of training, in [0, 2**32)."""
    test_split: TestSplit | None = None
    """Split to evaluate on. None: the first of val, validation and test that the source
    has."""
    test_fraction: float = 0.1
    """Fraction of a folder that is held out for testing, in (0, 1), unless sub-folders
    `train` and `val`, `validation` or `test` split it."""
    unreadable_limit: int = unstored_field(100)
    """Number of unreadable images allowed in each split and each process that reads."""
    worker_processes: int = unstored_field(0)
    """Worker processes that load batches. 0: threads of the main process load them."""
    read_threads: int = unstored_field(16)
    """Threads that load crops ahead, in each process. 0: crops are loaded on demand."""
    prefetch_batches: int = unstored_field(4)
    """Batches to prefetch, in each process."""

    def __post_init__(self) -> None:
        check_image_data(self)
        check_positive("image_size", self.image_size)
        rule = f"be at least `image_size`, {self.image_size}"
        holds = self.resize_size >= self.image_size
        check("resize_size", self.resize_size, rule, holds=holds)
        check_fractions("crop_area", self.crop_area)
        low, high = self.crop_ratio
        rule = "be two numbers 0 < low <= high"
        check("crop_ratio", self.crop_ratio, rule, holds=0 < low <= high)


class SourceContents(NamedTuple):
    """Contents of a source of labelled images."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""
    training_images: int
    test_images: int


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Random crops of the training images, by index."""

    data: ClassificationData
    images: LabelledImages
    unreadable: UnreadableImages

    def __len__(self) -> int:
        return len(self.images)

    def __call__(self, index: int, rng: np.random.Generator) -> ClassificationBatch:
        """Return a random crop of an image, or of the next readable one."""
        return self.unreadable.read_or_next(
            index, functools.partial(self._crop, rng=rng)
        )

    def _crop(self, index: int, *, rng: np.random.Generator) -> ClassificationBatch:
        data = self.data
        image, label = self.images.open(index)
        with image:
            size, area, ratio = upright_size(image), data.crop_area, data.crop_ratio
            box = random_box(rng, size, area=area, ratio=ratio)
            pixels = decode_box(image, box, size=data.image_size)
        if data.flip and rng.integers(2):
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        return ClassificationBatch(image=pixels, label=np.array(label, np.int32))


@dataclasses.dataclass(frozen=True)
class HeldOutExamples:
    """Centre crops of the test images, by index; unreadable images are not `valid`."""

    data: ClassificationData
    images: LabelledImages
    unreadable: UnreadableImages

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[ClassificationTestBatch]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> ClassificationTestBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        example = self.unreadable.read_or_none(index, self._crop)
        return _blank(self.data.image_size) if example is None else example

    def _crop(self, index: int) -> ClassificationTestBatch:
        data = self.data
        image, label = self.images.open(index)
        with image:
            pixels = decode_centre(
                image, size=data.image_size, resize_size=data.resize_size
            )
        return ClassificationTestBatch(
            image=pixels, label=np.array(label, np.int32), valid=np.array(True)
        )


@dataclasses.dataclass(frozen=True)
class ClassificationDataset:
    """Labelled images, in batches; each split is opened once, on its first use.

    All iterators over a split share its list of files and its count of unreadable
    images, so each of these is reported once per process.

    Raises:
      RefusedError: On the first use of a split, if the source cannot be used (see
        `open_labelled_images`).
    """

    data: ClassificationData

    @functools.cached_property
    def training(self) -> TrainingExamples:
        """Examples to train on."""
        images, unreadable = self._open("train")
        return TrainingExamples(self.data, images, unreadable)

    @functools.cached_property
    def held_out(self) -> HeldOutExamples:
        """Examples to evaluate on."""
        images, unreadable = self._open("test")
        return HeldOutExamples(self.data, images, unreadable)

    @property
    def contents(self) -> SourceContents:
        """Classes, and number of images per split; reads no image."""
        classes = self.training.images.classes
        return SourceContents(classes, len(self.training), len(self.held_out))

    def training_set(self) -> TrainingSet:
        """Return what a resumed run must find unchanged; open no image."""
        images = self.training.images
        return TrainingSet(images=len(images), digest=images.digest())

    def check_readable(self) -> None:
        """Open both splits, and read one image of each.

        Raises:
          RefusedError: A split cannot be opened, or has no readable image.
        """
        self.training(0, np.random.default_rng(0))
        _ = self.held_out[0]

    def training_batches(
        self, *, process_index: int = 0, process_count: int = 1
    ) -> "BatchIterator[ClassificationBatch]":
        """Iterate endlessly over training batches.

        Each epoch visits every image once, in a new order; each visit is another random
        crop. The sequence depends on `data` alone. `get_state()` of the iterator is a
        small dict, and `set_state` resumes from it bit for bit. Step n of all processes
        together holds the same examples for any number of processes. An unreadable
        image is replaced by the next one.

        Args:
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over dicts of `image` and `label`, of `batch_size / process_count`
          examples.

        Raises:
          RefusedError: The source cannot be used (see `open_labelled_images`), or the
            batch cannot be split evenly; later, no image can be read.
          TooManyUnreadableImagesError: Later, more than `unreadable_limit` images are
            unreadable.
        """
        return training_iterator(
            self.training,
            self.data,
            count=len(self.training),
            process_index=process_index,
            process_count=process_count,
        )

    def evaluation_batches(
        self,
        *,
        batch_size: int | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ) -> "BatchIterator[ClassificationTestBatch]":
        """Iterate exactly once over the whole test set.

        Every process receives the same number of batches, all of one size. Unreadable
        images and the padding of the last batch are not `valid`.

        Args:
          batch_size: Images per batch, over all processes together; by default that
            of training.
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over dicts of `image`, `label` and `valid`.

        Raises:
          RefusedError: As for `training_batches`.
          TooManyUnreadableImagesError: As for `training_batches`.
        """
        return evaluation_iterator(
            self.held_out.__getitem__,
            self.data,
            blank=_blank(self.data.image_size),
            count=len(self.held_out),
            batch_size=batch_size,
            process_index=process_index,
            process_count=process_count,
        )

    def _open(self, split: Split) -> tuple[LabelledImages, UnreadableImages]:
        data = self.data
        images = open_labelled_images(
            data.source,
            split=split,
            test_split=data.test_split,
            test_fraction=data.test_fraction,
        )
        return images, UnreadableImages(images, data.unreadable_limit)


def training_batches(
    data: ClassificationData, *, process_index: int = 0, process_count: int = 1
) -> "BatchIterator[ClassificationBatch]":
    """Iterate endlessly, as `ClassificationDataset.training_batches`."""
    return ClassificationDataset(data).training_batches(
        process_index=process_index, process_count=process_count
    )


def _blank(size: int) -> ClassificationTestBatch:
    return ClassificationTestBatch(
        image=np.zeros((size, size, 3), np.uint8),
        label=np.array(0, np.int32),
        valid=np.array(False),
    )
