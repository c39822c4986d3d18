"""Photographs that ship with scikit-image and matplotlib."""

import dataclasses
import pathlib
from typing import Any

import matplotlib as mpl
import numpy as np
import skimage.color
import skimage.data
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import reduce_to
from carafe_jax.data.sources.digests import digest_of_texts
from carafe_jax.data.sources.splits import Split
from carafe_jax.errors import RefusedError

# Functions of `skimage.data` and files of matplotlib whose photographs ship in the
# wheels. The others of scikit-image have to be downloaded, or are textures, a retina or
# the deep sky, which are unlike photographs.
_NAMES: dict[Split, tuple[str, ...]] = {
    "train": (
        "skimage.data.astronaut",
        "skimage.data.camera",
        "skimage.data.coffee",
        "skimage.data.stereo_motorcycle",
        "matplotlib: grace_hopper.jpg",
    ),
    "test": ("skimage.data.chelsea", "skimage.data.rocket"),
}


class PhotographsTooSmallError(RefusedError):
    """Every photograph of a source is smaller than `minimum_side`."""

    def __init__(self, minimum_side: int, largest: int) -> None:
        """Store the limit and the shorter side of the largest photograph, in pixels."""
        super().__init__(
            f"`minimum_side` must be at most {largest}, the shorter side of the "
            f"largest photograph, got {minimum_side}."
        )
        self.minimum_side = minimum_side
        self.largest = largest

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.minimum_side, self.largest), self.__dict__


@dataclasses.dataclass(frozen=True)
class BuiltinPhotographs:
    """Photographs in memory, by index."""

    names: tuple[str, ...]
    photographs: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.photographs)

    def name(self, index: int) -> str:
        """Return the name of the photograph with its package."""
        return self.names[index]

    def digest(self) -> str:
        """Return a hash of the names."""
        return digest_of_texts(*self.names)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.photographs[index]


def open_builtin(
    *, split: Split, minimum_side: int, sufficient_side: int | None
) -> BuiltinPhotographs:
    """Load one split of the built-in photographs.

    Args:
      split: Split to load; chelsea and rocket are held out for the test set.
      minimum_side: Least length of the shorter side in pixels; smaller photographs are
        left out.
      sufficient_side: Sufficient length of the shorter side, as in `decode_photograph`.

    Returns:
      Photographs in memory.

    Raises:
      PhotographsTooSmallError: Every photograph is too small.
    """
    loaded = [(name, pixels) for name in _NAMES[split] for pixels in _load(name)]
    largest = max(min(pixels.shape[:2]) for _, pixels in loaded)
    if minimum_side > largest:
        raise PhotographsTooSmallError(minimum_side, largest)
    large = [
        (name, np.array(reduce_to(Image.fromarray(pixels), sufficient_side)))
        for name, pixels in loaded
        if min(pixels.shape[:2]) >= minimum_side
    ]
    names, photographs = zip(*large, strict=True)
    return BuiltinPhotographs(names, photographs)


def _load(name: str) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Return a photograph, or both of a stereo pair, in RGB."""
    if name.startswith("matplotlib: "):
        file = name.removeprefix("matplotlib: ")
        path = pathlib.Path(mpl.get_data_path(), "sample_data", file)
        with Image.open(path) as image:
            return [np.asarray(image.convert("RGB"))]
    loaded = getattr(skimage.data, name.removeprefix("skimage.data."))()
    # A stereo pair comes with its disparities.
    pictures = loaded[:2] if isinstance(loaded, tuple) else [loaded]
    return [x if x.ndim == 3 else skimage.color.gray2rgb(x) for x in pictures]
