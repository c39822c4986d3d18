"""Annotated images of prepared data sets of TensorFlow Datasets."""

import dataclasses
import functools
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from carafe_jax.data.decoding import UnreadableImageError, decoder_errors, upright_size
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.object_columns import ObjectColumns, all_of, check_boxes
from carafe_jax.data.sources.object_table import ObjectTable
from carafe_jax.data.sources.reading import read_all_logged
from carafe_jax.data.sources.splits import Split, TestSplit
from carafe_jax.data.sources.tabled import TabledImages
from carafe_jax.data.sources.tfds import ImageRecords, check_features, open_tfds
from carafe_jax.data.sources.treatments import (
    NO_POSITIVE_AREA,
    NOT_FINITE,
    UNREADABLE_RECORD,
)
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class AnnotatedRecords(TabledImages):
    """Images of records by index, and their objects; there are no masks.

    The id of an image is its feature `image/id`, or the index of the record if it is no
    id. Data sets of TFDS have no ids of classes: they are labels plus 1.
    """

    images: ImageRecords

    def name(self, index: int) -> str:
        """Return the data set and the index of a record, as its name."""
        return self.images.name(self._record(index))

    def open(self, index: int) -> Image.Image:
        """Open the image of a record; its pixels are not decoded."""
        return self.images.open(self._record(index))

    def _record(self, index: int) -> int:
        return int(self.table.arrays["record"][index])


def open_annotated_tfds(
    name: str,
    *,
    split: Split,
    test_split: TestSplit | None,
    classes: Sequence[str] | None,
) -> AnnotatedRecords:
    """Open one split of a data set with objects; every record is read once.

    Its size and its boxes are read from each record, as `tfds.data_source` has no other
    way. Nothing is downloaded.

    Args:
      name: Name of the data set, such as "coco/2017". Its feature `objects` has `bbox`
        and `label`, and optionally `area`, `id` and `is_crowd`.
      split: Split to open, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.
      classes: Classes of training, which must be those of the data set. None: any.

    Returns:
      Images in the order of the data set.

    Raises:
      RefusedError: The data set is not prepared, or lacks the split or a feature.
      MissingExtraError: TensorFlow Datasets is not installed.
    """
    images = open_tfds(name, split=split, test_split=test_split)
    check_features(images.records, name, "objects")
    features = images.records.dataset_info.features["objects"]
    for feature in ("bbox", "label"):
        if feature not in features.keys():  # noqa: SIM118  A feature of TFDS, no dict.
            raise RefusedError(
                f"`source` must have the feature {feature!r} of `objects`, got "
                f"'tfds:{name}' with {sorted(features.keys())}."
            )
    names = tuple(features["label"].names)
    if classes is not None and names != tuple(classes):
        raise RefusedError(
            f"`source` must have the classes of training, {', '.join(classes)}, got "
            f"'tfds:{name}' with {', '.join(names)}."
        )
    findings = Findings()
    columns, file_names = _columns(images, findings, classes=len(names))
    findings.log(images.source)
    if split == "train" and not len(columns["bbox"]):
        raise RefusedError(
            f"`source` must hold an object to train on, got 'tfds:{name}' with none."
        )
    table = ObjectTable.of(
        file_names,
        columns,
        classes=names,
        category_ids=tuple(range(1, len(names) + 1)),
    )
    return AnnotatedRecords(table, findings, images)


def _columns(
    images: ImageRecords, findings: Findings, *, classes: int
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the columns of `ObjectTable.of`, and the file names."""
    records, sizes, names, image_ids = [], [], [], []
    owners: list[int] = []
    objects: dict[str, list[Any]] = {name: [] for name in ("bbox", *_DEFAULTS)}
    _LOGGER.info("Reading sizes and boxes of %d records, once.", len(images))
    read = functools.partial(_read, images)
    every = read_all_logged(read, len(images), noun="records")
    for index, record in enumerate(every):
        if isinstance(record, UnreadableImageError):
            findings.add(UNREADABLE_RECORD, [images.name(index)])
            continue
        found = record.objects
        count = len(found["bbox"])
        owners += [len(records)] * count
        for label in found["label"]:
            if not 0 <= label < classes:
                raise RefusedError(
                    f"`source` must have labels below {classes}, got {label} in "
                    f"{images.name(index)!r}."
                )
        for name, values in objects.items():
            values += [*found.get(name, [_DEFAULTS.get(name)] * count)]
        records.append(index)
        sizes.append(record.size)
        names.append(record.file_name or images.name(index))
        image_ids.append(record.image_id)
    if not records:
        raise RefusedError(
            f"`source` must have readable images, got none of {len(images)} in "
            f"{images.source!r}."
        )
    if None in image_ids or len(set(image_ids)) < len(image_ids):
        image_ids = records
    size = np.array(sizes, np.int32).reshape(-1, 2)
    owner = np.array(owners, np.int64)
    # y1, x1, y2, x2 as fractions of the image.
    y1x1y2x2 = np.array(objects["bbox"], np.float64).reshape(-1, 4)
    corners = y1x1y2x2[:, [1, 0, 3, 2]] * np.tile(size[owner][:, ::-1], 2)
    columns = ObjectColumns(
        {
            "image": owner,
            "size": size[owner],
            "bbox": np.concatenate(
                [corners[:, :2], corners[:, 2:] - corners[:, :2]], 1
            ),
            "label": np.array(objects["label"], np.int32),
            "crowd": np.array(objects["is_crowd"], bool),
            "area": np.array(objects["area"], np.float64),
            "id": np.array(objects["id"], np.int64),
        },
        findings=findings,
        describe=lambda rows, row: printable(names[rows["image"][row]]),
    )
    columns.drop(NOT_FINITE, ~all_of(np.isfinite(columns["bbox"])))
    check_boxes(columns)
    area = columns["area"]
    without = ~(np.isfinite(area) & (area > 0))
    columns.report(NO_POSITIVE_AREA, without)
    columns["area"] = np.where(without, columns["bbox"][:, 2:].prod(1), area)
    kept = ("image", "bbox", "label", "crowd", "area", "id")
    return {
        "image_id": np.array(image_ids, np.int64),
        "record": np.array(records, np.int64),
        "size": size,
        **{name: columns[name] for name in kept},
    }, names


@dataclasses.dataclass(frozen=True)
class _Record:
    """What is kept of a record."""

    size: tuple[int, int]
    objects: Any
    file_name: str
    image_id: int | np.integer | None


# Values of optional features of an object.
_DEFAULTS: dict[str, Any] = {"label": 0, "is_crowd": False, "area": np.nan, "id": -1}


def _read(images: ImageRecords, index: int) -> _Record | UnreadableImageError:
    try:
        image, record = images.open_record(index)
        with image:
            width, height = upright_size(image)
        with decoder_errors(images.name(index)):
            name, number = record.get("image/filename"), record.get("image/id")
            return _Record(
                (height, width),
                record["objects"],
                bytes(name).decode("utf-8", "replace") if name is not None else "",
                number if isinstance(number, int | np.integer) else None,
            )
    except UnreadableImageError as error:
        return error
