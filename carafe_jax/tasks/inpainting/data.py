"""Batches for inpainting: photographs -> grain -> crops with holes."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import numpy as np
from jaxtyping import Float32

from carafe_jax.data.crops import random_crop
from carafe_jax.data.loading import BatchIterator, Loading, Share, endless_batches
from carafe_jax.data.masks import MINIMUM_SIDE, FreeFormMasks, free_form_mask
from carafe_jax.data.photographs import Photographs, Split, open_photographs
from carafe_jax.errors import RefusedError

# An epoch of fewer is made longer: grain takes milliseconds for each index of a short
# shuffle (it draws from a range of fixed size until the index is small enough).
_VISITS_IN_AN_EPOCH = 1024


# Marks fields that change no number: a run may go on with other values.
_SPEED_ONLY = {"compared": False}


class InpaintingBatch(TypedDict):
    """What a network that inpaints is trained on."""

    image: Float32[np.ndarray, "*b h w 3"]
    """Whole photographs, RGB in [-1, 1]."""
    mask: Float32[np.ndarray, "*b h w 1"]
    """1 in the hole, 0 at the pixels that are given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintingData:
    """Where photographs come from and how crops and holes are made of them."""

    source: str = "builtin"
    """"builtin" (photographs that ship with scikit-image), the path of a folder of
    images, or "tfds:NAME"."""
    crop_size: int = 64
    """Side of the images in a batch, in pixels, at least 8."""
    crop_fraction: tuple[float, float] = (0.25, 1.0)
    """Smallest and largest square to cut, as fractions of the shorter side of the
    photograph, in (0, 1]; never under `crop_size` pixels."""
    colours: Literal["kept", "shuffled"] = "kept"
    """"shuffled": the three channels of each training crop change places at random,
    which makes more of a few photographs."""
    batch_size: int = 16
    """Crops in a step, over all processes together."""
    masks: FreeFormMasks = dataclasses.field(default_factory=FreeFormMasks)
    """Form of the holes."""
    seed: int = 0
    """Of the order, the crops and the holes of training, in [0, 2**32)."""
    test_seed: int = 0
    """Of the crops and the holes of the test set, in [0, 2**32)."""
    test_crops: int = 8
    """Fixed crops of each test photograph."""
    test_photographs: int | None = None
    """Test photographs to use, spread over all of them; None uses each."""
    test_fraction: float = 0.1
    """Part of a folder without `train` and `test` that is kept for the test, in
    (0, 1)."""
    cache_mebibytes: int = dataclasses.field(default=2048, metadata=_SPEED_ONLY)
    """Memory for decoded photographs: a folder that fits is decoded only once."""
    read_threads: int = dataclasses.field(default=2, metadata=_SPEED_ONLY)
    """Threads that make batches ahead; 0 makes each when it is asked for."""
    prefetch_batches: int = dataclasses.field(default=8, metadata=_SPEED_ONLY)
    """Batches made ahead."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "test_crops"):
            _check(name, getattr(self, name), "be positive", getattr(self, name) >= 1)
        value = self.test_photographs
        rule = "be positive or None"
        _check("test_photographs", value, rule, value is None or value >= 1)
        for name in ("cache_mebibytes", "read_threads", "prefetch_batches"):
            value = getattr(self, name)
            _check(name, value, "not be negative", value >= 0)
        for name in ("seed", "test_seed"):
            value = getattr(self, name)
            _check(name, value, "lie in [0, 2**32)", 0 <= value < 2**32)
        rule = f"be at least {MINIMUM_SIDE}"
        _check("crop_size", self.crop_size, rule, self.crop_size >= MINIMUM_SIDE)
        rule = "be 'kept' or 'shuffled'"
        _check("colours", self.colours, rule, self.colours in ("kept", "shuffled"))
        low, high = self.crop_fraction
        rule = "be two numbers 0 < low <= high <= 1"
        _check("crop_fraction", self.crop_fraction, rule, 0 < low <= high <= 1)
        rule, value = "lie between 0 and 1", self.test_fraction
        _check("test_fraction", value, rule, 0 < value < 1)


def training_batches(
    data: InpaintingData, *, process_index: int = 0, process_count: int = 1
) -> "BatchIterator[InpaintingBatch]":
    """Iterate over training batches without end.

    The photographs are shuffled anew in each epoch; an epoch visits each once, or
    equally often and at least 1024 times altogether. Each visit is another crop,
    flipped left to right in half of the cases, with another hole. The sequence
    depends on `data` alone. `get_state()` of the iterator is a small dict, and
    `set_state` goes on from it bit for bit. Step n of all processes together holds
    the same examples whatever their number.

    Args:
        data: Source, sizes and seed.
        process_index: Which of the processes this is, as `jax.process_index()`.
        process_count: How many share each batch, as `jax.process_count()`.

    Returns:
        Iterator over dicts of `image`, RGB in [-1, 1], and `mask`, 1 in the hole, of
        `batch_size / process_count` examples.

    Raises:
        RefusedError: If the source cannot be used (see `open_photographs`), or the
            processes cannot share a batch evenly.
    """
    share = Share(
        batch_size=data.batch_size,
        process_index=process_index,
        process_count=process_count,
    )
    photographs = _open(data, "train")
    return endless_batches(
        photographs.__getitem__,
        functools.partial(_training_example, data=data),
        count=len(photographs),
        visits=math.ceil(_VISITS_IN_AN_EPOCH / len(photographs)),
        seed=data.seed,
        share=share,
        loading=Loading(
            threads=data.read_threads,
            prefetch=data.prefetch_batches * share.local_size,
        ),
    )


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The test set: fixed crops with fixed holes, made when they are asked for.

    Each test photograph that is used gives `data.test_crops` crops, one after another.
    They depend on the photographs, the sizes, the form of the holes and
    `data.test_seed`; not on the machine, the process or `data.seed`.
    """

    data: InpaintingData
    photographs: Photographs
    chosen: tuple[int, ...]
    """Which photographs are used."""

    def __len__(self) -> int:
        return len(self.chosen) * self.data.test_crops

    def __getitem__(self, index: int) -> InpaintingBatch:
        if not 0 <= index < len(self):
            raise IndexError(index)
        which, crop = divmod(index, self.data.test_crops)
        return _held_out_example(self.photographs, self.chosen[which], crop, self.data)


def open_held_out(data: InpaintingData) -> HeldOut:
    """Open the test set.

    Args:
        data: Source, sizes and seed.

    Returns:
        Examples by index: dicts of `image`, RGB in [-1, 1], and `mask`, 1 in the hole.

    Raises:
        RefusedError: If the source cannot be used (see `open_photographs`).
    """
    photographs = _open(data, "test")
    count = min(len(photographs), data.test_photographs or len(photographs))
    chosen = np.linspace(0, len(photographs) - 1, count).astype(int).tolist()
    return HeldOut(data, photographs, tuple(chosen))


def held_out_examples(data: InpaintingData) -> InpaintingBatch:
    """Make the whole test set at once, see `HeldOut`.

    Args:
        data: Source, sizes and seed.

    Returns:
        Dict of `image`, RGB in [-1, 1], and `mask`, 1 in the hole.

    Raises:
        RefusedError: If the source cannot be used (see `open_photographs`).
    """
    examples = open_held_out(data)
    return stack_examples([examples[index] for index in range(len(examples))])


def stack_examples(examples: Sequence[InpaintingBatch]) -> InpaintingBatch:
    """Make a batch of single examples of one size."""
    return InpaintingBatch(
        image=np.stack([example["image"] for example in examples]),
        mask=np.stack([example["mask"] for example in examples]),
    )


def _check(name: str, value: object, rule: str, holds: bool) -> None:
    if not holds:
        raise RefusedError(f"`{name}` must {rule}, got {value}.")


def _open(data: InpaintingData, split: Split) -> Photographs:
    return open_photographs(
        data.source,
        split=split,
        minimum_side=data.crop_size,
        # The smallest square cut from it still has `crop_size` pixels.
        sufficient_side=math.ceil(data.crop_size / data.crop_fraction[0]),
        test_fraction=data.test_fraction,
        cache_bytes=data.cache_mebibytes * 2**20,
    )


def _training_example(
    photograph: np.ndarray, rng: np.random.Generator, *, data: InpaintingData
) -> InpaintingBatch:
    example = _example(photograph, rng, data)
    image = example["image"]
    if rng.integers(2):
        image = image[:, ::-1]
    if data.colours == "shuffled":
        image = rng.permutation(image, axis=-1)
    example["image"] = np.ascontiguousarray(image)
    return example


def _held_out_example(
    photographs: Photographs, which: int, crop: int, data: InpaintingData
) -> InpaintingBatch:
    rng = np.random.default_rng([data.test_seed, which, crop])
    return _example(photographs[which], rng, data)


def _example(
    photograph: np.ndarray, rng: np.random.Generator, data: InpaintingData
) -> InpaintingBatch:
    size = data.crop_size
    crop = random_crop(photograph, rng, size=size, fraction=data.crop_fraction)
    mask = free_form_mask(rng, height=size, width=size, masks=data.masks)
    return InpaintingBatch(image=crop.astype(np.float32) / 127.5 - 1.0, mask=mask)
