"""Batches for inpainting: photographs -> crops with holes."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypedDict

import numpy as np
from jaxtyping import Bool, Float32

from carafe_jax.arguments import (
    check,
    check_fractions,
    check_not_negative,
    check_positive,
    check_seed,
)
from carafe_jax.data import (
    BatchIterator,
    FreeFormHoles,
    Photographs,
    PhotographsTooSmallError,
    Split,
    TestSplit,
    UnreadableImages,
    free_form_hole,
    open_photographs,
    random_crop,
)
from carafe_jax.data.spread import spread
from carafe_jax.data.transforms.free_form_holes import MINIMUM_SIDE
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.data_fields import (
    check_image_data,
    evaluation_iterator,
    training_iterator,
)
from carafe_jax.tasks.training_set import TrainingSet
from carafe_jax.train import unstored_field

# Shorter epochs are extended: grain takes milliseconds for each index of a short
# shuffle (it draws from a range of fixed size until the index is small enough).
_VISITS_IN_AN_EPOCH = 1024


class InpaintingBatch(TypedDict):
    """Images with holes to train on."""

    image: Float32[np.ndarray, "*b h w 3"]
    """RGB crops in [-1, 1], with the true pixels in the hole."""
    mask: Float32[np.ndarray, "*b h w 1"]
    """1 in the hole, 0 at the given pixels."""


class InpaintingTestBatch(InpaintingBatch):
    """Images with holes to evaluate on."""

    valid: Bool[np.ndarray, "*b"]
    """False for unreadable images, and for the padding of the last batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintingData:
    """Source, crops and holes of photographs."""

    source: str = "builtin"
    """Source of the photographs: "builtin" (those that ship with scikit-image and
    matplotlib), the path of a folder of images, or "tfds:NAME"."""
    crop_size: int = 64
    """Side of the crops in a batch, in pixels, at least 8. Photographs with a smaller
    side count as unreadable."""
    crop_fraction: tuple[float, float] = (0.25, 1.0)
    """Smallest and largest square to crop, as fractions of the shorter side of the
    photograph, in (0, 1]; never under `crop_size` pixels."""
    colours: Literal["kept", "shuffled"] = "kept"
    """Colour augmentation. "shuffled": the three channels of each training crop are
    permuted at random, which helps with few photographs."""
    turns: Literal["mirrored", "all"] = "mirrored"
    """Geometric augmentation. "mirrored": half of the training crops are flipped left
    to right. "all": crops are also rotated by multiples of 90 degrees, which helps with
    few photographs."""
    batch_size: int = 16
    """Crops per step, over all processes together."""
    masks: FreeFormHoles = dataclasses.field(default_factory=FreeFormHoles)
    """Shape of the holes."""
    seed: int = 0
    """Seed of the order, crops and holes of training, in [0, 2**32)."""
    test_seed: int = 0
    """Seed of the crops and holes of the test set, in [0, 2**32)."""
    test_crops: int = 8
    """Fixed crops per test photograph."""
    test_photographs: int | None = None
    """Number of test photographs to use, spread evenly over all of them. None: all."""
    test_split: TestSplit | None = None
    """Split to evaluate on. None: the first of val, validation and test that the source
    has."""
    test_fraction: float = 0.1
    """Fraction of a folder that is held out for testing, in (0, 1), unless sub-folders
    `train` and `val`, `validation` or `test` split it."""
    unreadable_limit: int = unstored_field(100)
    """Number of unreadable photographs allowed in each split and each process that
    reads."""
    cache_mebibytes: int = unstored_field(2048)
    """Memory in MiB for the decoded photographs of each split, in each process that
    reads. A photograph that fits is decoded only once."""
    worker_processes: int = unstored_field(0)
    """Worker processes that load batches. 0: threads of the main process load them."""
    read_threads: int = unstored_field(2)
    """Threads that load crops ahead, in each process. 0: crops are loaded on demand."""
    prefetch_batches: int = unstored_field(8)
    """Batches to prefetch, in each process."""

    def __post_init__(self) -> None:
        check_image_data(self)
        check_positive("test_crops", self.test_crops)
        value = self.test_photographs
        rule = "be positive or None"
        check("test_photographs", value, rule, holds=value is None or value >= 1)
        check_not_negative("cache_mebibytes", self.cache_mebibytes)
        check_seed("test_seed", self.test_seed)
        rule = f"be at least {MINIMUM_SIDE}"
        check("crop_size", self.crop_size, rule, holds=self.crop_size >= MINIMUM_SIDE)
        holds = self.colours in ("kept", "shuffled")
        check("colours", self.colours, "be 'kept' or 'shuffled'", holds=holds)
        holds = self.turns in ("mirrored", "all")
        check("turns", self.turns, "be 'mirrored' or 'all'", holds=holds)
        check_fractions("crop_fraction", self.crop_fraction)


class SourceContents(NamedTuple):
    """Number of photographs in each split of a source."""

    training_images: int
    test_images: int


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Random crops of the training photographs with random holes, by index."""

    data: InpaintingData
    photographs: Photographs
    unreadable: UnreadableImages

    def __len__(self) -> int:
        return len(self.photographs)

    def __call__(self, index: int, rng: np.random.Generator) -> InpaintingBatch:
        """Return a random crop of a photograph, or of the next readable one."""
        photograph = self.unreadable.read_or_next(index, self.photographs.__getitem__)
        example = _example(photograph, rng, self.data)
        image = example["image"]
        if rng.integers(2):
            image = image[:, ::-1]
        if self.data.turns == "all":
            image = np.rot90(image, int(rng.integers(4)))
        if self.data.colours == "shuffled":
            image = rng.permutation(image, axis=-1)
        example["image"] = np.ascontiguousarray(image)
        return example


@dataclasses.dataclass(frozen=True)
class HeldOutExamples:
    """Fixed crops of the test photographs with fixed holes, by index, on demand.

    Each chosen test photograph gives `data.test_crops` consecutive crops. They depend
    on the photographs, the sizes, the shape of the holes and `data.test_seed`; not on
    the machine, the process or `data.seed`. Crops of an unreadable photograph are not
    `valid`.
    """

    data: InpaintingData
    photographs: Photographs
    chosen: tuple[int, ...]
    """Indices of the photographs that are used."""
    unreadable: UnreadableImages

    def __len__(self) -> int:
        return len(self.chosen) * self.data.test_crops

    def __iter__(self) -> Iterator[InpaintingTestBatch]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: int) -> InpaintingTestBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place, crop = divmod(index, self.data.test_crops)
        chosen = self.chosen[place]
        photograph = self.unreadable.read_or_none(chosen, self.photographs.__getitem__)
        if photograph is None:
            return _blank(self.data.crop_size)
        rng = np.random.default_rng([self.data.test_seed, chosen, crop])
        example = _example(photograph, rng, self.data)
        return InpaintingTestBatch(**example, valid=np.array(True))


@dataclasses.dataclass(frozen=True)
class InpaintingDataset:
    """Photographs with holes, in batches; each split is opened once, on its first use.

    All iterators over a split share its decoded photographs and its count of unreadable
    ones, so each of these is reported once per process.

    Raises:
      RefusedError: On the first use of a split, if the source cannot be used (see
        `open_photographs`).
    """

    data: InpaintingData

    @functools.cached_property
    def training(self) -> TrainingExamples:
        """Examples to train on."""
        photographs, unreadable = self._open("train")
        return TrainingExamples(self.data, photographs, unreadable)

    @functools.cached_property
    def held_out(self) -> HeldOutExamples:
        """Examples to evaluate on: dicts of `image`, `mask` and `valid`."""
        photographs, unreadable = self._open("test")
        chosen = spread(
            len(photographs), self.data.test_photographs or len(photographs)
        )
        return HeldOutExamples(self.data, photographs, tuple(chosen), unreadable)

    @property
    def contents(self) -> SourceContents:
        """Number of photographs per split; reads no photograph of a folder."""
        return SourceContents(len(self.training), len(self.held_out.photographs))

    def training_set(self) -> TrainingSet:
        """Return what a resumed run must find unchanged; open no photograph."""
        photographs = self.training.photographs
        return TrainingSet(images=len(photographs), digest=photographs.digest())

    def check_readable(self) -> None:
        """Open both splits, and read one photograph of each.

        Raises:
          RefusedError: A split cannot be opened, or has no readable photograph.
        """
        self.training(0, np.random.default_rng(0))
        _ = self.held_out[0]

    def training_batches(
        self, *, process_index: int = 0, process_count: int = 1
    ) -> "BatchIterator[InpaintingBatch]":
        """Iterate endlessly over training batches.

        The photographs are reshuffled in each epoch. An epoch visits all of them
        equally often: once, or as often as it takes to make at least 1024 visits. Each
        visit is another crop with another hole, flipped left to right with probability
        1/2; `data.colours` and `data.turns` may augment it further. The sequence
        depends on `data` alone. `get_state()` of the iterator is a small dict, and
        `set_state` resumes from it bit for bit. Step n of all processes together holds
        the same examples for any number of processes. An unreadable photograph is
        replaced by the next one.

        Args:
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over dicts of `image`, RGB in [-1, 1], and `mask`, 1 in the hole, of
          `batch_size / process_count` examples.

        Raises:
          RefusedError: The source cannot be used (see `open_photographs`), or the batch
            cannot be split evenly; later, no photograph can be read.
          TooManyUnreadableImagesError: Later, more than `unreadable_limit` photographs
            are unreadable.
        """
        return training_iterator(
            self.training,
            self.data,
            count=len(self.training),
            visits=math.ceil(_VISITS_IN_AN_EPOCH / len(self.training)),
            process_index=process_index,
            process_count=process_count,
        )

    def evaluation_batches(
        self,
        *,
        batch_size: int | None = None,
        process_index: int = 0,
        process_count: int = 1,
    ) -> "BatchIterator[InpaintingTestBatch]":
        """Iterate exactly once over the whole test set, see `HeldOutExamples`.

        Every process receives the same number of batches, all of one size. Unreadable
        photographs and the padding of the last batch are not `valid`.

        Args:
          batch_size: Crops per batch, over all processes together; by default that of
            training.
          process_index: Index of this process, as `jax.process_index()`.
          process_count: Number of processes, as `jax.process_count()`.

        Returns:
          Iterator over dicts of `image`, RGB in [-1, 1], `mask`, 1 in the hole, and
          `valid`.

        Raises:
          RefusedError: As for `training_batches`.
          TooManyUnreadableImagesError: As for `training_batches`.
        """
        return evaluation_iterator(
            self.held_out.__getitem__,
            self.data,
            blank=_blank(self.data.crop_size),
            count=len(self.held_out),
            batch_size=batch_size,
            process_index=process_index,
            process_count=process_count,
        )

    def _open(self, split: Split) -> tuple[Photographs, UnreadableImages]:
        data = self.data
        try:
            photographs = open_photographs(
                data.source,
                split=split,
                minimum_side=data.crop_size,
                # The smallest square cropped from it still has `crop_size` pixels.
                sufficient_side=math.ceil(data.crop_size / data.crop_fraction[0]),
                test_split=data.test_split,
                test_fraction=data.test_fraction,
                cache_bytes=data.cache_mebibytes * 2**20,
            )
        except PhotographsTooSmallError as error:
            raise RefusedError(
                f"`crop_size` must be at most {error.largest}, the shorter side of the "
                f"largest photograph of {data.source!r} for {split!r}, got "
                f"{data.crop_size}."
            ) from error
        return photographs, UnreadableImages(photographs, data.unreadable_limit)


def training_batches(
    data: InpaintingData, *, process_index: int = 0, process_count: int = 1
) -> "BatchIterator[InpaintingBatch]":
    """Iterate endlessly, as `InpaintingDataset.training_batches`."""
    return InpaintingDataset(data).training_batches(
        process_index=process_index, process_count=process_count
    )


def open_held_out_examples(data: InpaintingData) -> HeldOutExamples:
    """Open the test set, as `InpaintingDataset.held_out`."""
    return InpaintingDataset(data).held_out


def stack_examples(examples: Iterable[InpaintingTestBatch]) -> InpaintingTestBatch:
    """Stack single examples of one size into a batch."""
    listed = list(examples)
    return InpaintingTestBatch(
        image=np.stack([example["image"] for example in listed]),
        mask=np.stack([example["mask"] for example in listed]),
        valid=np.stack([example["valid"] for example in listed]),
    )


def _example(
    photograph: np.ndarray, rng: np.random.Generator, data: InpaintingData
) -> InpaintingBatch:
    size = data.crop_size
    crop = random_crop(photograph, rng, size=size, fraction=data.crop_fraction)
    mask = free_form_hole(rng, height=size, width=size, holes=data.masks)
    return InpaintingBatch(image=crop.astype(np.float32) / 127.5 - 1.0, mask=mask)


def _blank(size: int) -> InpaintingTestBatch:
    return InpaintingTestBatch(
        image=np.zeros((size, size, 3), np.float32),
        mask=np.zeros((size, size, 1), np.float32),
        valid=np.array(False),
    )
