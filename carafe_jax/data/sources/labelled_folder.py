"""Images with a class each: from folders or from TFDS, opened but not yet decoded."""

import dataclasses
import importlib
import io
import pathlib
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from carafe_jax.data.image_folder import image_names
from carafe_jax.data.photographs import Split
from carafe_jax.errors import MissingExtraError, RefusedError

_FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "test": ("val", "validation", "test"),
}


@runtime_checkable
class LabelledImages(Protocol):
    """Random access to images and their classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        ...

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Tell which image this is, for messages."""
        ...

    def open(self, index: int) -> tuple[Image.Image, int]:
        """Open an image, its pixels still in the file, and tell its label."""
        ...


def open_labelled_images(source: str, *, split: Split) -> LabelledImages:
    """Open one split of a source of labelled images.

    Args:
        source: Path of a folder `SPLIT/CLASS/*.jpg`, whose splits are `train` and `val`
            (or `validation`, or `test`) and whose classes are numbered in the order of
            their names; or "tfds:NAME" for a data set with "image" and "label" that
            TensorFlow Datasets has already prepared, such as "tfds:imagenet2012".
        split: Which part; the test is the validation set.

    Returns:
        Images by index, in an order that is always the same.

    Raises:
        RefusedError: If the source does not exist, has no such split, or its test has a
            class that is not trained.
        MissingExtraError: If TensorFlow Datasets is asked for and not installed.
    """
    if not source:
        raise RefusedError(
            "`source` must be the path of a folder or 'tfds:NAME', got ''."
        )
    if source.startswith("tfds:"):
        return _open_tfds(source.removeprefix("tfds:"), split)
    return _open_folder(pathlib.Path(source).expanduser(), split)


@dataclasses.dataclass(frozen=True)
class _Files:
    root: pathlib.Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return str(self.root / self.names[index])

    def open(self, index: int) -> tuple[Image.Image, int]:
        return Image.open(self.root / self.names[index]), self.labels[index]


def _open_folder(folder: pathlib.Path, split: Split) -> _Files:
    if not folder.is_dir():
        raise RefusedError(f"`source` must be an existing folder, got {str(folder)!r}.")
    root = _split_folder(folder, split)
    classes = _classes(_split_folder(folder, "train"))
    strange = sorted(set(_classes(root)) - set(classes))
    if strange:
        raise RefusedError(
            f"`source` must have the classes of {str(root)!r} in its train folder as "
            f"well, got {', '.join(strange)}."
        )
    names = image_names(root)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {name: numbers.get(name.split("/")[0]) for name in names}
    kept = {name: label for name, label in labels.items() if label is not None}
    if not kept:
        raise RefusedError(
            f"`source` must hold images in {str(root / 'CLASS')!r}, got none."
        )
    return _Files(root, classes, tuple(kept), tuple(kept.values()))


def _split_folder(folder: pathlib.Path, split: Split) -> pathlib.Path:
    for name in _FOLDERS[split]:
        if (folder / name).is_dir():
            return folder / name
    raise RefusedError(
        f"`source` must have a folder named {' or '.join(_FOLDERS[split])}, got "
        f"{str(folder)!r}."
    )


def _classes(root: pathlib.Path) -> tuple[str, ...]:
    hidden = (path for path in root.iterdir() if path.is_dir())
    return tuple(sorted(path.name for path in hidden if path.name[0] != "."))


@dataclasses.dataclass(frozen=True)
class _Records:
    source: str
    records: Any
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        return f"{self.source}[{index}]"

    def open(self, index: int) -> tuple[Image.Image, int]:
        record = self.records[index]
        return Image.open(io.BytesIO(record["image"])), int(np.asarray(record["label"]))


def _open_tfds(name: str, split: Split) -> _Records:
    try:
        tfds = importlib.import_module("tensorflow_datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"'tfds:{name}' needs TensorFlow Datasets: pip install 'carafe-jax[tfds]'."
        ) from error
    # A download of unknown size is the user's to start, not a training run's.
    parts = tfds.data_source(
        name, download=False, decoders={"image": tfds.decode.SkipDecoding()}
    )
    wanted = ("train",) if split == "train" else ("validation", "test")
    part = next((parts[key] for key in wanted if key in parts), None)
    if part is None or len(part) == 0:
        raise RefusedError(
            f"`source` must have a split named {' or '.join(wanted)}, "
            f"got 'tfds:{name}' with {sorted(parts)}."
        )
    classes = tuple(part.dataset_info.features["label"].names)
    return _Records(f"tfds:{name}/{split}", part, classes)
