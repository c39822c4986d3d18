"""Images of data sets that TensorFlow Datasets has prepared, not yet decoded."""

import dataclasses
import importlib
import io
from typing import Any

import numpy as np
from PIL import Image

from carafe_jax.data.sources.splits import Split, split_of_tfds, tfds_names
from carafe_jax.errors import MissingExtraError, RefusedError


@dataclasses.dataclass(frozen=True)
class ImageRecords:
    """Images of records by index, each opened when it is asked for."""

    source: str
    records: Any  # A sequence of dicts, of a library without types.

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        """Return the data set with the place of a record in it."""
        return f"{self.source}[{index}]"

    def open(self, index: int) -> Image.Image:
        """Open the image of a record; its pixels stay encoded."""
        return Image.open(io.BytesIO(self.records[index]["image"]))


@dataclasses.dataclass(frozen=True)
class LabelledRecords:
    """Images of records with their labels."""

    images: ImageRecords
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the data set with the place of a record in it."""
        return self.images.name(index)

    def open(self, index: int) -> tuple[Image.Image, int]:
        """Open the image of a record; return it with its label."""
        record = self.images.records[index]
        image = Image.open(io.BytesIO(record["image"]))
        return image, int(np.asarray(record["label"]))


def open_tfds(name: str, *, split: Split) -> ImageRecords:
    """Open one part of a data set with images; nothing is downloaded.

    Args:
        name: Of the data set: "places365_small", say.
        split: Which part, by the rule of `splits`.

    Returns:
        Images in the order of the data set.

    Raises:
        RefusedError: If the data set is not prepared, or has no such part or no images.
        MissingExtraError: If TensorFlow Datasets is not installed.
    """
    try:
        tfds = importlib.import_module("tensorflow_datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"'tfds:{name}' needs TensorFlow Datasets: pip install 'carafe-jax[tfds]'."
        ) from error
    parts = _prepared(tfds, name)
    part = split_of_tfds(parts, split)
    if part is None or len(part) == 0:
        raise RefusedError(
            f"`source` must have a split named {tfds_names(split)}, "
            f"got 'tfds:{name}' with {sorted(parts)}."
        )
    _check_features(part, name, "image")
    return ImageRecords(f"tfds:{name}/{split}", part)


def open_labelled_tfds(name: str, *, split: Split) -> LabelledRecords:
    """Open one part of a data set of labelled images; nothing is downloaded.

    Args:
        name: Of the data set: "imagenet2012", say.
        split: Which part, by the rule of `splits`.

    Returns:
        Images in the order of the data set, with its labels.

    Raises:
        RefusedError: As by `open_tfds`, or if the data set has no labels.
        MissingExtraError: If TensorFlow Datasets is not installed.
    """
    images = open_tfds(name, split=split)
    _check_features(images.records, name, "label")
    label = images.records.dataset_info.features["label"]
    return LabelledRecords(images, tuple(label.names))


def _prepared(tfds: Any, name: str) -> Any:
    # A download of unknown size is the user's to start, not a training run's.
    try:
        return tfds.data_source(
            name, download=False, decoders={"image": tfds.decode.SkipDecoding()}
        )
    # Unknown names, data that are not there, and other formats of their files.
    except (ValueError, AssertionError, OSError, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RefusedError(
            "`source` must be a data set that TensorFlow Datasets has prepared, with "
            f"random access (file_format='array_record'), got 'tfds:{name}': {reason}"
        ) from error


def _check_features(part: Any, name: str, feature: str) -> None:
    features = sorted(part.dataset_info.features)
    if feature not in features:
        raise RefusedError(
            f"`source` must have the feature {feature!r}, got 'tfds:{name}' with "
            f"{features}."
        )
