"""Segmented images of prepared data sets of TensorFlow Datasets."""

import dataclasses
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

from PIL import Image

from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.segmentation.label_table import (
    ClassEntry,
    make_label_table,
    read_classes_file,
)
from carafe_jax.data.sources.segmentation.pairs import SegmentedPairs, check_pairs
from carafe_jax.data.sources.splits import Split, TestSplit
from carafe_jax.data.sources.tfds import ImageRecords, open_tfds
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable

_REFUSED = {
    "scene_parse150": "its labels are instances of 100 classes in two channels, not "
    "the 150 classes of ADE20K. Use the folder of ADEChallengeData2016",
}


@dataclasses.dataclass(frozen=True)
class PairedRecords:
    """Images and label maps of records by index."""

    images: ImageRecords
    label_maps: ImageRecords

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Return the data set and the index of a record."""
        return self.images.name(index)

    def label_name(self, index: int) -> str:
        """Return the data set, the index of a record and the feature."""
        return f"{self.label_maps.name(index)}/{self.label_maps.feature}"

    def digest(self) -> str:
        """Return a hash of the data set and the number of its records."""
        return self.images.digest()

    def open(self, index: int) -> Image.Image:
        """Open the image of a record; its pixels are not decoded."""
        return self.images.open(index)

    def open_labels(self, index: int) -> Image.Image:
        """Open the label map of a record; its pixels are not decoded."""
        return self.label_maps.open(index)


def open_segmented_tfds(
    name: str,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    image_feature: str,
    label_feature: str,
    classes_file: pathlib.Path | None,
    ignored_labels: Collection[int],
    classes: Sequence[str] | None,
) -> SegmentedPairs:
    """Open one split of a data set; every record is read once, for its header.

    Args:
      name: Name of the data set.
      split: Split to open, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.
      image_feature: Name of the feature of the images.
      label_feature: Name of the feature of the label maps, PNG files of one channel.
      classes_file: List of the classes. None: the names of the label feature, which is
        a `LabeledImage`.
      ignored_labels: Values of label maps that are ignored, beside 255.
      classes: Classes of training, as in `make_label_table`.

    Returns:
      Images in the order of the data set.

    Raises:
      RefusedError: The data set is not prepared, lacks the split, a feature or the
        names of its classes, or is no semantic segmentation; or it is invalid (see
        `treatments`).
      MissingExtraError: TensorFlow Datasets is not installed.
    """
    if reason := _REFUSED.get(name.split("/")[0].split(":")[0]):
        raise RefusedError(
            f"`source` must have a class at each pixel, got 'tfds:{name}': {reason}."
        )
    images = open_tfds(
        name,
        split=split,
        test_split=test_split,
        features=(image_feature, label_feature),
    )
    if classes_file is None:
        feature = images.records.dataset_info.features[label_feature]
        entries, origin = _entries_of(feature, name, label_feature), f"'tfds:{name}'"
    else:
        entries, origin = read_classes_file(classes_file), repr(printable(classes_file))
    findings = Findings()
    label_table = make_label_table(
        entries,
        origin=origin,
        ignored_labels=ignored_labels,
        classes=classes,
        findings=findings,
    )
    label_maps = dataclasses.replace(images, feature=label_feature)
    pairs = PairedRecords(images, label_maps)
    opened = check_pairs(pairs, label_table=label_table, findings=findings)
    findings.log(images.source)
    return opened


def _entries_of(feature: Any, name: str, label_feature: str) -> list[ClassEntry]:
    names = getattr(feature, "names", None)  # A plain `Image` has no names.
    if not names:
        raise RefusedError(
            f"`classes_file` must list the classes of 'tfds:{name}', whose feature "
            f"{label_feature!r} has no names, got None."
        )
    if len(names) > 256:
        raise RefusedError(
            f"`source` must have at most 255 classes, got {len(names)} in "
            f"'tfds:{name}'."
        )
    return [ClassEntry(value, each) for value, each in enumerate(names)]
