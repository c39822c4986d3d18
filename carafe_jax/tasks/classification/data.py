"""Batches for classification: labelled images -> crops with labels."""

import dataclasses
import functools
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from carafe_jax.arguments import check, check_fractions, check_positive
from carafe_jax.data import (
    BatchIterator,
    LabelledImages,
    Split,
    UnreadableImages,
    batches_of_all,
    decode_box,
    decode_centre,
    endless_batches,
    open_labelled_images,
    random_box,
    upright_size,
)
from carafe_jax.tasks.reading import check_reading, loading_of, shard_of
from carafe_jax.train import changes_no_number


class ClassificationBatch(TypedDict):
    """Labelled images to train on."""

    image: UInt8[np.ndarray, "*b h w 3"]
    """RGB in [0, 255]."""
    label: Int32[np.ndarray, "*b"]
    """Number of the class."""


class ClassificationTestBatch(ClassificationBatch):
    """Labelled images to test on."""

    valid: Bool[np.ndarray, "*b"]
    """False where there is no image: an unreadable one, or none, at the end of the last
    batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Where labelled images come from and how they are cropped."""

    source: str
    """Path of a folder SPLIT/CLASS/*.jpg (splits `train` and `val`) or CLASS/*.jpg, or
    "tfds:NAME"."""
    image_size: int = 224
    """Side of the images in a batch, in pixels."""
    resize_size: int = 256
    """What the shorter side of a test image is resized to before its centre is cut."""
    batch_size: int = 256
    """Images in a step, over all processes together."""
    crop_area: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest training crop, as parts of the image's area."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width over height of a training crop."""
    flip: bool = True
    """Whether training images are flipped left to right in half of the cases."""
    seed: int = 0
    """Of the order and the crops of training, in [0, 2**32)."""
    test_fraction: float = 0.1
    """Part of a folder that is kept for the test, in (0, 1), where no sub-folders
    `train` and `val`, `validation` or `test` split it."""
    unreadable_limit: int = changes_no_number(100)
    """Images that may be unreadable, in each process that reads, before it is an
    error."""
    worker_processes: int = changes_no_number(0)
    """Processes that make batches; 0 makes them in the threads of this one."""
    read_threads: int = changes_no_number(16)
    """Threads of each process that make batches ahead."""
    prefetch_batches: int = changes_no_number(4)
    """Batches made ahead, in each process."""

    def __post_init__(self) -> None:
        check_reading(self)
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


def describe_source(data: ClassificationData) -> SourceContents:
    """Return the classes and the number of images, without reading an image.

    Raises:
        RefusedError: If the source cannot be used (see `open_labelled_images`).
    """
    train, test = _open(data, "train"), _open(data, "test")
    return SourceContents(train.classes, len(train), len(test))


def training_batches(
    data: ClassificationData, *, process_index: int = 0, process_count: int = 1
) -> "BatchIterator[ClassificationBatch]":
    """Iterate over training batches without end.

    Each epoch visits every image once, in another order; each visit is another crop.
    The sequence depends on `data` alone. `get_state()` of the iterator is a small dict,
    and `set_state` goes on from it bit for bit. Step n of all processes together holds
    the same examples whatever their number. The image after an unreadable one takes its
    place.

    Args:
        data: SourceContents, sizes and seed.
        process_index: Which of the processes this is, as `jax.process_index()`.
        process_count: How many make each batch together, as `jax.process_count()`.

    Returns:
        Iterator over dicts of `image` and `label`, of `batch_size / process_count`
        examples.

    Raises:
        RefusedError: If the source cannot be used (see `open_labelled_images`), or the
            batch cannot be split evenly; later, if no image can be read.
        TooManyUnreadableImagesError: Later, if more than `unreadable_limit` images are
            unreadable.
    """
    shard = shard_of(data, process_index=process_index, process_count=process_count)
    images = _open(data, "train")
    unreadable = UnreadableImages(images, data.unreadable_limit)
    return endless_batches(
        functools.partial(
            _training_example, images=images, unreadable=unreadable, data=data
        ),
        count=len(images),
        seed=data.seed,
        shard=shard,
        loading=loading_of(data),
    )


def evaluation_batches(
    data: ClassificationData,
    *,
    batch_size: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> "BatchIterator[ClassificationTestBatch]":
    """Iterate once over exactly the whole test set.

    Every process gets as many batches, all of one size. Examples that the images do not
    fill are not valid, nor are unreadable images.

    Args:
        data: SourceContents and sizes.
        batch_size: Images in a batch, over all processes together; by default that of
            training.
        process_index: Which of the processes this is, as `jax.process_index()`.
        process_count: How many make each batch together, as `jax.process_count()`.

    Returns:
        Iterator over dicts of `image`, `label` and `valid`.

    Raises:
        RefusedError: As by `training_batches`.
        TooManyUnreadableImagesError: As by `training_batches`.
    """
    shard = shard_of(
        data,
        batch_size=batch_size,
        process_index=process_index,
        process_count=process_count,
    )
    images = _open(data, "test")
    read = functools.partial(_test_example, images=images, data=data)
    unreadable = UnreadableImages(images, data.unreadable_limit)
    return batches_of_all(
        functools.partial(unreadable.read_or_none, read=read),
        blank=_blank(data.image_size),
        count=len(images),
        shard=shard,
        loading=loading_of(data),
    )


def _open(data: ClassificationData, split: Split) -> LabelledImages:
    return open_labelled_images(
        data.source, split=split, test_fraction=data.test_fraction
    )


def _training_example(
    index: int,
    rng: np.random.Generator,
    *,
    images: LabelledImages,
    unreadable: UnreadableImages,
    data: ClassificationData,
) -> ClassificationBatch:
    read = functools.partial(_random_crop, images=images, rng=rng, data=data)
    return unreadable.read_or_next(index, read)


def _random_crop(
    index: int,
    *,
    images: LabelledImages,
    rng: np.random.Generator,
    data: ClassificationData,
) -> ClassificationBatch:
    image, label = images.open(index)
    with image:
        size, area, ratio = upright_size(image), data.crop_area, data.crop_ratio
        box = random_box(rng, size, area=area, ratio=ratio)
        pixels = decode_box(image, box, size=data.image_size)
    if data.flip and rng.integers(2):
        pixels = np.ascontiguousarray(pixels[:, ::-1])
    return ClassificationBatch(image=pixels, label=np.array(label, np.int32))


def _test_example(
    index: int, *, images: LabelledImages, data: ClassificationData
) -> ClassificationTestBatch:
    image, label = images.open(index)
    with image:
        size, resize_size = data.image_size, data.resize_size
        pixels = decode_centre(image, size=size, resize_size=resize_size)
    return ClassificationTestBatch(
        image=pixels, label=np.array(label, np.int32), valid=np.array(True)
    )


def _blank(size: int) -> ClassificationTestBatch:
    return ClassificationTestBatch(
        image=np.zeros((size, size, 3), np.uint8),
        label=np.array(0, np.int32),
        valid=np.array(False),
    )
