"""Batches for classification: labelled images -> grain -> crops with labels."""

import contextlib
import dataclasses
import logging
from typing import NamedTuple, TypedDict

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from carafe_jax.data.decoding import UNREADABLE
from carafe_jax.data.labelled_images import LabelledImages, open_labelled_images
from carafe_jax.data.loading import (
    BatchIterator,
    Loading,
    Share,
    batches_of_all,
    endless_batches,
)
from carafe_jax.data.resized_crops import (
    decode_box,
    decode_centre,
    random_box,
    upright_size,
)
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)

# Marks fields that change no number: a run may go on with other values.
_SPEED_ONLY = {"compared": False}

# Of the training images of ImageNet, RGB in [0, 255].
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


class ClassificationBatch(TypedDict):
    """What a classifier is trained on."""

    image: UInt8[np.ndarray, "*b h w 3"]
    """RGB in [0, 255]."""
    label: Int32[np.ndarray, "*b"]
    """Number of the class."""


class ClassificationTestBatch(ClassificationBatch):
    """What it is tested on."""

    valid: Bool[np.ndarray, "*b"]
    """False where there is no image: the last batch is filled up to its size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationData:
    """Where labelled images come from and how they are cropped."""

    source: str
    """Path of a folder SPLIT/CLASS/*.jpg with `train` and `val`, or "tfds:NAME"."""
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
    broken_limit: int = 100
    """Images that may be unreadable, in each process that reads, before it is an
    error."""
    worker_processes: int = dataclasses.field(default=0, metadata=_SPEED_ONLY)
    """Processes that make batches; 0 makes them in the threads of this one."""
    read_threads: int = dataclasses.field(default=16, metadata=_SPEED_ONLY)
    """Threads of each process that make batches ahead."""
    prefetch_batches: int = dataclasses.field(default=4, metadata=_SPEED_ONLY)
    """Batches made ahead, in each process."""

    def __post_init__(self) -> None:
        for name in ("image_size", "batch_size"):
            _check(name, getattr(self, name), "be positive", getattr(self, name) >= 1)
        for name in (
            "broken_limit",
            "worker_processes",
            "read_threads",
            "prefetch_batches",
        ):
            value = getattr(self, name)
            _check(name, value, "not be negative", value >= 0)
        rule = f"be at least `image_size`, {self.image_size}"
        value = self.resize_size
        _check("resize_size", value, rule, value >= self.image_size)
        _check("seed", self.seed, "lie in [0, 2**32)", 0 <= self.seed < 2**32)
        low, high = self.crop_area
        rule = "be two numbers 0 < low <= high <= 1"
        _check("crop_area", self.crop_area, rule, 0 < low <= high <= 1)
        low, high = self.crop_ratio
        rule = "be two numbers 0 < low <= high"
        _check("crop_ratio", self.crop_ratio, rule, 0 < low <= high)


class Source(NamedTuple):
    """What a source of labelled images holds."""

    classes: tuple[str, ...]
    """Names of the classes, by label."""
    training_images: int
    test_images: int


def describe_source(data: ClassificationData) -> Source:
    """Tell what a source holds, without reading an image.

    Raises:
        RefusedError: If the source cannot be used (see `open_labelled_images`).
    """
    train = open_labelled_images(data.source, split="train")
    test = open_labelled_images(data.source, split="test")
    return Source(train.classes, len(train), len(test))


def classification_training_batches(
    data: ClassificationData, *, process_index: int = 0, process_count: int = 1
) -> "BatchIterator[ClassificationBatch]":
    """Iterate over training batches without end.

    Each epoch visits every image once, in another order; each visit is another crop.
    The sequence depends on `data` alone. `get_state()` of the iterator is a small dict,
    and `set_state` goes on from it bit for bit. Step n of all processes together holds
    the same examples whatever their number. The image after an unreadable one takes its
    place.

    Args:
        data: Source, sizes and seed.
        process_index: Which of the processes this is, as `jax.process_index()`.
        process_count: How many share each batch, as `jax.process_count()`.

    Returns:
        Iterator over dicts of `image` and `label`, of `batch_size / process_count`
        examples.

    Raises:
        RefusedError: If the source cannot be used (see `open_labelled_images`), or the
            processes cannot share a batch evenly; later, if more than `broken_limit`
            images are unreadable.
    """
    share = Share(
        batch_size=data.batch_size,
        process_index=process_index,
        process_count=process_count,
    )
    read = _Reader(open_labelled_images(data.source, split="train"), data)
    return endless_batches(
        int,
        read.training_example,
        count=len(read.images),
        seed=data.seed,
        share=share,
        loading=_loading(data, share),
    )


def classification_test_batches(
    data: ClassificationData,
    *,
    batch_size: int | None = None,
    process_index: int = 0,
    process_count: int = 1,
) -> "BatchIterator[ClassificationTestBatch]":
    """Iterate once over exactly the whole test set.

    Every process gets as many batches, all of one size; what the images do not fill is
    not valid. Nor is an unreadable image.

    Args:
        data: Source and sizes.
        batch_size: Images in a batch, over all processes together; by default that of
            training.
        process_index: Which of the processes this is, as `jax.process_index()`.
        process_count: How many share each batch, as `jax.process_count()`.

    Returns:
        Iterator over dicts of `image`, `label` and `valid`.

    Raises:
        RefusedError: As by `classification_training_batches`.
    """
    share = Share(
        batch_size=data.batch_size if batch_size is None else batch_size,
        process_index=process_index,
        process_count=process_count,
    )
    read = _Reader(open_labelled_images(data.source, split="test"), data)
    return batches_of_all(
        read.test_example,
        count=len(read.images),
        share=share,
        loading=_loading(data, share),
    )


class _Reader:
    """Reads examples and counts the images that cannot be read."""

    def __init__(self, images: LabelledImages, data: ClassificationData) -> None:
        self.images = images
        self._data = data
        self._broken: dict[str, str] = {}

    def training_example(
        self, index: int, rng: np.random.Generator
    ) -> ClassificationBatch:
        """Read the image of this index, or the first after it that can be read."""
        data, count = self._data, len(self.images)
        for candidate in range(index, index + count):
            with self._counting(candidate % count):
                image, label = self.images.open(candidate % count)
                with image:
                    box = random_box(
                        rng,
                        upright_size(image),
                        area=data.crop_area,
                        ratio=data.crop_ratio,
                    )
                    pixels = decode_box(image, box, size=data.image_size)
                if data.flip and rng.integers(2):
                    pixels = np.ascontiguousarray(pixels[:, ::-1])
                return ClassificationBatch(
                    image=pixels, label=np.array(label, np.int32)
                )
        raise RefusedError(f"`source` must hold readable images, got {data.source!r}.")

    def test_example(self, index: int) -> ClassificationTestBatch:
        """Read the middle of the image of this index."""
        data = self._data
        if index < len(self.images):
            with self._counting(index):
                image, label = self.images.open(index)
                with image:
                    pixels = decode_centre(
                        image, size=data.image_size, resize_size=data.resize_size
                    )
                return ClassificationTestBatch(
                    image=pixels, label=np.array(label, np.int32), valid=np.array(True)
                )
        return ClassificationTestBatch(
            image=np.zeros((data.image_size, data.image_size, 3), np.uint8),
            label=np.array(0, np.int32),
            valid=np.array(False),
        )

    @contextlib.contextmanager
    def _counting(self, index: int):
        """Name an image that cannot be read; too many are an error."""
        try:
            yield
        except UNREADABLE as error:
            name, limit = self.images.name(index), self._data.broken_limit
            if name not in self._broken:
                self._broken[name] = str(error)
                _LOGGER.warning(
                    "Skipped an unreadable image, the %d. of at most %d: %s (%s)",
                    len(self._broken),
                    limit,
                    name,
                    error,
                )
            if len(self._broken) > limit:
                raise TooManyBrokenImagesError(self._broken, limit) from error


class TooManyBrokenImagesError(RuntimeError):
    """More images are unreadable than `broken_limit` allows."""

    def __init__(self, broken: dict[str, str], limit: int) -> None:
        named = "; ".join(f"{name} ({why})" for name, why in list(broken.items())[:10])
        super().__init__(
            f"`broken_limit` allows {limit} unreadable images, got {len(broken)}: "
            f"{named}"
        )


def _loading(data: ClassificationData, share: Share) -> Loading:
    return Loading(
        threads=data.read_threads,
        prefetch=data.prefetch_batches * share.local_size,
        processes=data.worker_processes,
    )


def _check(name: str, value: object, rule: str, holds: bool) -> None:
    if not holds:
        raise RefusedError(f"`{name}` must {rule}, got {value}.")
