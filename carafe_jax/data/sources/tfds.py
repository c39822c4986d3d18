"""Encoded images of prepared data sets of TensorFlow Datasets."""

import dataclasses
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from carafe_jax.data.decoding import decoder_errors, open_image
from carafe_jax.data.sources.digests import digest_of_texts
from carafe_jax.data.sources.splits import (
    MissingSplitError,
    Split,
    TestSplit,
    name_in_tfds,
    tfds_names,
)
from carafe_jax.errors import MissingExtraError, RefusedError


@dataclasses.dataclass(frozen=True)
class ImageRecords:
    """Images of records by index, each opened on demand."""

    source: str
    records: Any  # A sequence of dicts, from an untyped library.
    feature: str = "image"
    """Feature of the image, as the bytes of a file."""

    def __len__(self) -> int:
        return len(self.records)

    def name(self, index: int) -> str:
        """Return the data set and the index of a record, as its name."""
        return f"{self.source}[{index}]"

    def digest(self) -> str:
        """Return a hash of the data set and the number of its records."""
        return digest_of_texts(self.source, str(len(self)))

    def open(self, index: int) -> Image.Image:
        """Open the image of a record; its pixels are not decoded."""
        return self.open_record(index)[0]

    def open_record(self, index: int) -> tuple[Image.Image, Any]:
        """Open the image of a record; return it with the record."""
        name = self.name(index)
        with decoder_errors(name):  # A damaged record may raise any exception, too.
            record = self.records[index]
            content = bytes(record[self.feature])
        return open_image(content, name=name), record


@dataclasses.dataclass(frozen=True)
class LabelledRecords:
    """Images of records with their labels."""

    images: ImageRecords
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the data set and the index of a record, as its name."""
        return self.images.name(index)

    def digest(self) -> str:
        """Return a hash of the data set and the number of its records."""
        return self.images.digest()

    def open(self, index: int) -> tuple[Image.Image, int]:
        """Open the image of a record; return it with its label."""
        image, record = self.images.open_record(index)
        return image, int(np.asarray(record["label"]))


def open_tfds(
    name: str,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    features: Sequence[str] = ("image",),
) -> ImageRecords:
    """Open one split of a data set with images; nothing is downloaded.

    Args:
      name: Name of the data set, such as "places365_small".
      split: Split to open, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.
      features: Names of the features that are images, none of which is decoded.

    Returns:
      Images of the first of these features, in the order of the data set.

    Raises:
      MissingSplitError: The data set has no such split, or no images in it.
      RefusedError: The data set is not prepared, or has no images or no `test_split`.
      MissingExtraError: TensorFlow Datasets is not installed.
    """
    try:
        tfds = importlib.import_module("tensorflow_datasets")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"'tfds:{name}' needs TensorFlow Datasets: pip install 'carafe-jax[tfds]'."
        ) from error
    splits = _prepared(tfds, name, features)
    found = name_in_tfds(splits, split, test_split)
    records = () if found is None else splits[found]
    if len(records) == 0:
        raise MissingSplitError(
            f"`source` must have images in a split named "
            f"{tfds_names(split, test_split)}, got 'tfds:{name}' with {sorted(splits)}."
        )
    for feature in features:
        check_features(records, name, feature)
    return ImageRecords(f"tfds:{name}/{found}", records, features[0])


def open_labelled_tfds(
    name: str, *, split: Split, test_split: TestSplit | None
) -> LabelledRecords:
    """Open one split of a data set of labelled images; nothing is downloaded.

    Args:
      name: Name of the data set, such as "imagenet2012".
      split: Split to open, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.

    Returns:
      Images in the order of the data set, with its labels.

    Raises:
      RefusedError: The data set is invalid, as for `open_tfds`, or has no labels.
      MissingExtraError: TensorFlow Datasets is not installed.
    """
    images = open_tfds(name, split=split, test_split=test_split)
    check_features(images.records, name, "label")
    label = images.records.dataset_info.features["label"]
    return LabelledRecords(images, tuple(label.names))


def _prepared(tfds: Any, name: str, features: Sequence[str]) -> Any:
    # Users start downloads of unknown size themselves; a training run does not.
    try:
        return tfds.data_source(
            name,
            download=False,
            decoders={feature: tfds.decode.SkipDecoding() for feature in features},
        )
    # Unknown names, data that are not prepared, and other file formats.
    except (ValueError, AssertionError, OSError, NotImplementedError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RefusedError(
            "`source` must be a data set that TensorFlow Datasets has prepared, with "
            f"random access (file_format='array_record'), got 'tfds:{name}': {reason}"
        ) from error


def check_features(records: Any, name: str, feature: str) -> None:
    """Raise unless the records of a data set have a feature.

    Args:
      records: Records of a split.
      name: Name of the data set.
      feature: Name of the feature.

    Raises:
      RefusedError: The feature is missing.
    """
    features = sorted(records.dataset_info.features)
    if feature not in features:
        raise RefusedError(
            f"`source` must have the feature {feature!r}, got 'tfds:{name}' with "
            f"{features}."
        )
