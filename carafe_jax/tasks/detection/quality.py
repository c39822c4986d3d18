"""Quality of detections: COCO's numbers, and their columns in tables."""

import csv
import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.metrics.coco import MAX_DETECTIONS, APResult, Kind, average_precision
from carafe_jax.tasks.detection.results import DetectionResult, ResultsByImage
from carafe_jax.tasks.tables import Column

COLUMNS = {
    f"{region}_{name}": Column(f"{region}\n{title}", 3)
    for region in ("box", "mask")
    for name, title in (("ap", "AP"), ("ap50", "AP50"), ("ap75", "AP75"))
}

REGIONS: Mapping[str, Kind] = {"box": "bbox", "mask": "segm"}
"""Kinds of regions by the prefix of their numbers."""

Truth = Callable[[Kind], Mapping[str, Any]]
"""Function that returns the test set in COCO's form, for a kind of regions."""


@dataclasses.dataclass(frozen=True)
class ClassQuality:
    """Quality of one class."""

    name: str
    category_id: int
    objects: int
    """Objects in the test set, without crowds."""
    numbers: dict[str, float]
    """COCO's numbers, such as "box_ap"; NaN without objects."""


@dataclasses.dataclass(frozen=True)
class DetectionQuality:
    """Quality of the detections of a test set."""

    numbers: dict[str, float]
    """COCO's numbers, such as "box_ap", means over the classes with objects; those
    without objects, such as "box_ap_small" of a set of large ones, are left out."""
    per_class: tuple[ClassQuality, ...]
    images: int
    """Photographs that could be read."""


def measure_results(
    results: ResultsByImage,
    images: AnnotatedImages,
    *,
    masks: bool,
    max_detections: Sequence[int] = MAX_DETECTIONS,
    truth: Truth | None = None,
) -> DetectionQuality:
    """Compare detections with the objects of a test set.

    Args:
      results: Detections of each photograph; unreadable ones, which are left out of the
        evaluation, have no entry.
      images: Test set.
      masks: Whether to measure masks, too.
      max_detections: As in `carafe_jax.metrics.average_precision`.
      truth: Objects of the test set, if they are at hand. None: those of `images`.

    Raises:
      RefusedError: No photograph could be read, or none of them has an object.
    """
    if not results:
        raise RefusedError(
            "The test set must hold an example that can be read, got none."
        )
    # The order of the photographs does not depend on that of the batches.
    detections = [x for index in sorted(results) for x in results[index]]
    image_ids = {images.image_id(index) for index in results}
    measured: dict[str, APResult] = {}
    for region, kind in REGIONS.items():
        if kind == "bbox" or masks:
            known = images.coco(kind=kind) if truth is None else truth(kind)
            known = _restricted(known, image_ids)
            if kind == "bbox":
                _check_objects(known)
            measured[region] = average_precision(
                known, detections, kind=kind, max_detections=max_detections
            )
    numbers = _prefixed({region: x.numbers for region, x in measured.items()})
    objects = _count_objects(images, results)
    return DetectionQuality(
        {name: value for name, value in numbers.items() if not math.isnan(value)},
        tuple(
            ClassQuality(
                name,
                category,
                objects[label],
                _prefixed({r: x.per_class[category] for r, x in measured.items()}),
            )
            for label, (name, category) in enumerate(
                zip(images.classes, images.category_ids, strict=True)
            )
        ),
        len(results),
    )


def best_of_each(results: ResultsByImage, count: int) -> ResultsByImage:
    """Return the `count` detections of the highest scores of each photograph."""
    return {
        index: sorted(detections, key=_negative_score)[:count]
        for index, detections in results.items()
    }


def recall_limits(count: int) -> tuple[int, ...]:
    """Return 1, 10 and the number of detections of a photograph, for the recalls."""
    return tuple(sorted({1, min(10, count), count}))


def write_per_class(
    path: pathlib.Path, measured: Mapping[str, DetectionQuality]
) -> None:
    """Write a CSV with a row for each method and class, atomically.

    Args:
      path: Path of the file.
      measured: Quality by the name of the method. Cells of NaN are empty.
    """
    rows = [(name, row) for name, x in measured.items() for row in x.per_class]
    columns = list(dict.fromkeys(name for _, row in rows for name in row.numbers))
    with (
        write_atomically(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["method", "class", "category_id", "objects", *columns])
        for method, row in rows:
            values = (row.numbers.get(name, math.nan) for name in columns)
            cells = ("" if math.isnan(value) else value for value in values)
            writer.writerow([method, row.name, row.category_id, row.objects, *cells])


def _negative_score(detection: DetectionResult) -> float:
    return -detection["score"]


def _prefixed(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return dict(
        itertools.chain.from_iterable(
            ((f"{region}_{name}", value) for name, value in values.items())
            for region, values in numbers.items()
        )
    )


def _restricted(truth: Mapping[str, Any], image_ids: set[int]) -> dict[str, Any]:
    return {
        **truth,
        "images": [x for x in truth["images"] if x["id"] in image_ids],
        "annotations": [x for x in truth["annotations"] if x["image_id"] in image_ids],
    }


def _count_objects(images: AnnotatedImages, indices: Iterable[int]) -> list[int]:
    """Return the number of objects of each class, without crowds."""
    count = np.zeros(len(images.classes), int)
    for index in indices:
        objects = images.objects(index, masks=False)
        labels = objects.classes[~objects.crowd]
        count += np.bincount(labels, minlength=len(count))
    return count.tolist()


def _check_objects(truth: Mapping[str, Any]) -> None:
    if all(x.get("iscrowd") for x in truth["annotations"]):
        raise RefusedError(
            "The test set must have objects, without which there is no average "
            f"precision, got none in {len(truth['images'])} photographs."
        )
