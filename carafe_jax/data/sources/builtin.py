"""Random access to photographs: built in, from a folder, or from TFDS."""

import dataclasses
import importlib
import pathlib
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import skimage.data
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import reduce_to, to_rgb
from carafe_jax.data.image_folder import open_image_folder
from carafe_jax.errors import MissingExtraError, RefusedError

Split = Literal["train", "test"]

# Functions of `skimage.data`. Their pictures ship in scikit-image's wheel; its other
# colour photographs need a network.
_BUILTIN: dict[Split, tuple[str, ...]] = {
    "train": (
        "astronaut",
        "coffee",
        "hubble_deep_field",
        "retina",
        "stereo_motorcycle",
    ),
    "test": ("chelsea", "rocket"),
}


@runtime_checkable
class Photographs(Protocol):
    """A source of photographs, each 8-bit RGB of its own size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> UInt8[np.ndarray, "h w 3"]: ...


def open_photographs(
    source: str,
    *,
    split: Split,
    minimum_side: int,
    sufficient_side: int | None = None,
    test_fraction: float = 0.1,
    cache_bytes: int = 2**31,
) -> Photographs:
    """Open one split of a source of photographs.

    Args:
        source: "builtin" for the photographs that ship with scikit-image (chelsea and
            rocket are the test), "tfds:NAME" for a data set that TensorFlow Datasets
            has already prepared, or the path of a folder of images in any nesting.
            The folder's `train` and `test` (or `val`) are the split where it has
            them; elsewhere a hash of each relative path decides.
        split: Which part.
        minimum_side: Shortest side that a photograph may have, in pixels. Smaller
            ones are skipped; those of TFDS, which are not read beforehand, are
            enlarged instead.
        sufficient_side: Length in pixels that is enough for the shorter side: larger
            photographs are reduced by a whole factor, never below it.
        test_fraction: Part of a folder without `train` and `test` that is kept for
            the test, in (0, 1).
        cache_bytes: A folder is held decoded in memory where it fits in this.

    Returns:
        Photographs by index, RGB in [0, 255], in an order that is always the same.

    Raises:
        RefusedError: If the source does not exist, or holds no photograph that is large
            enough.
        MissingExtraError: If TensorFlow Datasets is asked for and not installed.
    """
    if minimum_side < 1:
        raise RefusedError(f"`minimum_side` must be positive, got {minimum_side}.")
    if sufficient_side is not None and sufficient_side < minimum_side:
        raise RefusedError(
            f"`sufficient_side` must be at least `minimum_side`, {minimum_side}, "
            f"got {sufficient_side}."
        )
    if not source:
        raise RefusedError(
            "`source` must be 'builtin', 'tfds:NAME' or the path of a folder, got ''."
        )
    if source == "builtin":
        return _open_builtin(split, minimum_side, sufficient_side)
    if source.startswith("tfds:"):
        return _open_tfds(
            source.removeprefix("tfds:"), split, minimum_side, sufficient_side
        )
    return open_image_folder(
        pathlib.Path(source).expanduser(),
        split=split,
        minimum_side=minimum_side,
        sufficient_side=sufficient_side,
        test_fraction=test_fraction,
        cache_bytes=cache_bytes,
    )


def _open_builtin(
    split: Split, minimum_side: int, sufficient_side: int | None
) -> list[np.ndarray]:
    photographs = [
        photograph for name in _BUILTIN[split] for photograph in _load_builtin(name)
    ]
    sides = [min(photograph.shape[:2]) for photograph in photographs]
    if minimum_side > max(sides):
        raise RefusedError(
            "`minimum_side` (the `crop_size` of crops) must not exceed the shorter "
            f"side of every photograph, at most {max(sides)} in the built-in "
            f"{split!r} part, got {minimum_side}."
        )
    return [
        np.array(reduce_to(Image.fromarray(photograph), sufficient_side))
        for photograph, side in zip(photographs, sides, strict=True)
        if side >= minimum_side
    ]


def _load_builtin(name: str) -> list[np.ndarray]:
    loaded = getattr(skimage.data, name)()
    # A stereo pair comes with its disparities.
    return list(loaded[:2]) if isinstance(loaded, tuple) else [loaded]


def _open_tfds(
    name: str, split: Split, minimum_side: int, sufficient_side: int | None
) -> "_TfdsPhotographs":
    try:
        tfds = importlib.import_module("tensorflow_datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"'tfds:{name}' needs TensorFlow Datasets: pip install 'carafe-jax[tfds]'."
        ) from error
    # A download of unknown size is the user's to start, not a training run's.
    parts = tfds.data_source(name, download=False)
    wanted = ("train",) if split == "train" else ("test", "validation")
    part = next((parts[key] for key in wanted if key in parts), None)
    if part is None or len(part) == 0:
        raise RefusedError(
            f"`source` must have a split named {' or '.join(wanted)}, "
            f"got 'tfds:{name}' with {sorted(parts)}."
        )
    return _TfdsPhotographs(part, minimum_side, sufficient_side)


@dataclasses.dataclass(frozen=True)
class _TfdsPhotographs:
    records: Any
    minimum_side: int
    sufficient_side: int | None

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        pixels = np.asarray(self.records[index]["image"])
        if pixels.shape[-1] == 1:
            pixels = pixels[..., 0]
        image = reduce_to(to_rgb(Image.fromarray(pixels)), self.sufficient_side)
        growth = self.minimum_side / min(image.size)
        if growth > 1:
            width, height = (
                max(self.minimum_side, round(side * growth)) for side in image.size
            )
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        return np.array(image)
