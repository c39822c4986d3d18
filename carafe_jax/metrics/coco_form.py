"""Truth and detections in COCO's form, checked and copied for the evaluation.

The evaluation ignores what refers to no image or category, which would lower the
numbers unnoticed, and reads beyond its memory, or fills it, for damaged masks.
"""

import collections
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.run_length_codes import (
    RLE,
    are_valid_counts,
    mask_tools,
    runs_to_rle,
)

Kind = Literal["bbox", "segm"]
"""Kind of the regions whose overlap is measured, in COCO's words: boxes or masks."""

Size = tuple[int, int]
"""Height and width, in pixels."""

_FARTHEST = 10  # Sides of the image; polygons beyond it would need much memory.
_RUNS = "have runs that are complete and fill the image"


@no_type_check
def checked_truth(truth: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return a copy of the truth for the evaluation, which writes into it.

    Annotations are numbered from 1: the evaluation takes the id 0 for "no match".

    Raises:
      RefusedError: It is not of COCO's form; the message names the place.
    """
    names = ("images", "annotations", "categories")
    missing = [name for name in names if name not in truth]
    if missing:
        raise RefusedError(
            f"`truth` must have the keys {', '.join(names)}, got none for "
            f"{' and '.join(missing)}."
        )
    images, annotations, categories = (_entries(truth, name) for name in names)
    _check_ids("images", images)
    _check_ids("categories", categories)
    _check_ids("annotations", [x for x in annotations if "id" in x])
    ids = {
        "image_id": {image["id"] for image in images},
        "category_id": {category["id"] for category in categories},
    }
    for index, annotation in enumerate(annotations):
        _check_annotation(annotation, f"truth['annotations'][{index}]", ids, kind)
    if kind == "segm":
        sizes = _sizes(images)
        masks = {
            f"truth['annotations'][{index}]['segmentation']": (
                annotation["segmentation"],
                sizes[annotation["image_id"]],
            )
            for index, annotation in enumerate(annotations)
        }
        _check_masks(masks, polygons=True)
    return {
        "images": [dict(image) for image in images],
        "categories": [dict(category) for category in categories],
        "annotations": [
            {"iscrowd": 0, **_area(annotation), **annotation, "id": number}
            for number, annotation in enumerate(annotations, start=1)
        ],
    }


@no_type_check
def checked_detections(
    detections: Iterable[Mapping[str, Any]], truth: Mapping[str, Any], kind: Kind
) -> dict[str, Any]:
    """Return detections as the evaluation takes them, with their areas.

    Args:
      detections: COCO results.
      truth: As `checked_truth` returns it.
      kind: Regions of the detections.

    Raises:
      RefusedError: They are not of COCO's form; the message names the place.
    """
    detections = [*detections]
    region = "bbox" if kind == "bbox" else "segmentation"
    ids = {
        "image_id": {image["id"] for image in truth["images"]},
        "category_id": {category["id"] for category in truth["categories"]},
    }
    for index, detection in enumerate(detections):
        _check_detection(detection, f"detections[{index}]", ids, region)
    if kind == "bbox":
        regions = [[*map(float, x["bbox"])] for x in detections]
        areas = [width * height for _, _, width, height in regions]
    else:
        sizes = _sizes(truth["images"])
        masks = {
            f"detections[{index}]['segmentation']": (
                detection["segmentation"],
                sizes[detection["image_id"]],
            )
            for index, detection in enumerate(detections)
        }
        regions = _check_masks(masks, polygons=False)
        # One by one: `area` of pycocotools fails for a list of more than 255.
        areas = [mask_tools().area(region) for region in regions]
    return {
        "images": [dict(image) for image in truth["images"]],
        "categories": [dict(category) for category in truth["categories"]],
        "annotations": [
            {
                "id": number,
                "image_id": detection["image_id"],
                "category_id": detection["category_id"],
                "score": float(detection["score"]),
                region: own,
                "area": float(area),
                "iscrowd": 0,
            }
            for number, (detection, own, area) in enumerate(
                zip(detections, regions, areas, strict=True), 1
            )
        ],
    }


@no_type_check
def _entries(truth: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    entries, place = truth[name], f"truth[{name!r}]"
    holds = isinstance(entries, Sequence) and not isinstance(entries, str)
    check(place, entries, "be a list", holds=holds)
    for index, entry in enumerate(entries):
        _check_mapping(f"{place}[{index}]", entry)
    return entries


@no_type_check
def _check_ids(name: str, entries: Sequence[Mapping[str, Any]]) -> None:
    for index, entry in enumerate(entries):
        _check_keys(f"truth[{name!r}][{index}]", entry, ["id"])
        number = entry["id"]
        holds = isinstance(number, numbers.Integral)
        check(f"truth[{name!r}][{index}]['id']", number, "be an integer", holds=holds)
    counts = collections.Counter(entry["id"] for entry in entries)
    for number, count in counts.items():
        rule = f"have one entry for each id, got {count} for {number!r}"
        if count > 1:
            raise RefusedError(f"`truth[{name!r}]` must {rule}.")


@no_type_check
def _check_annotation(
    annotation: Mapping[str, Any], place: str, ids: Mapping[str, set[int]], kind: Kind
) -> None:
    _check_keys(place, annotation, ids)
    _check_references(annotation, place, ids)
    if "iscrowd" in annotation:
        crowd = annotation["iscrowd"]
        check(f"{place}['iscrowd']", crowd, "be 0 or 1", holds=bool(crowd in (0, 1)))
    if kind == "bbox" or "area" not in annotation:
        _check_keys(place, annotation, ["bbox"])
        _check_box(f"{place}['bbox']", annotation["bbox"])
    if "area" in annotation:
        area = annotation["area"]
        holds = _are_finite([area], count=1) and bool(area >= 0)
        check(f"{place}['area']", area, "be finite and not negative", holds=holds)
    if kind == "segm" and not annotation.get("segmentation"):
        raise RefusedError(
            "`truth` must have a segmentation of each annotation to evaluate masks, "
            f"got none in `{place}`."
        )


@no_type_check
def _check_detection(
    detection: Mapping[str, Any], place: str, ids: Mapping[str, set[int]], region: str
) -> None:
    _check_mapping(place, detection)
    _check_keys(place, detection, [*ids, "score", region])
    _check_references(detection, place, ids)
    score = detection["score"]
    check(f"{place}['score']", score, "be finite", holds=_are_finite([score], count=1))
    if region == "bbox":
        _check_box(f"{place}['bbox']", detection["bbox"])


@no_type_check
def _check_mapping(place: str, entry: Any) -> None:
    check(place, entry, "be a dict", holds=isinstance(entry, Mapping))


@no_type_check
def _check_keys(place: str, entry: Mapping[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if name not in entry:
            raise RefusedError(
                f"`{place}` must have the keys {', '.join(names)}, got none for {name}."
            )


@no_type_check
def _check_references(
    entry: Mapping[str, Any], place: str, ids: Mapping[str, set[int]]
) -> None:
    for name, known in ids.items():
        number = entry[name]
        holds = isinstance(number, numbers.Real) and number in known
        check(f"{place}[{name!r}]", number, "be an id in `truth`", holds=holds)


@no_type_check
def _check_box(place: str, box: Any) -> None:
    rule = "be x, y, width and height, finite and without negative sizes"
    holds = _are_finite(box, count=4)
    check(place, box, rule, holds=holds and bool(min(box[2], box[3]) >= 0))


@no_type_check
def _are_finite(values: Any, *, count: int) -> bool:
    """Return whether these are so many finite numbers."""
    # Numbers of JSON: arrays take long to make.
    if isinstance(values, list | tuple) and {*map(type, values)} <= {int, float}:
        return len(values) == count and all(map(math.isfinite, values))
    try:
        found = np.asarray(values).astype(np.float64, casting="same_kind")
    except (TypeError, ValueError):
        return False
    return found.shape == (count,) and bool(np.isfinite(found).all())


def _area(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the area of the box, for an annotation that has none of its own."""
    if "area" in annotation:
        return {}
    return {"area": annotation["bbox"][2] * annotation["bbox"][3]}


@no_type_check
def _sizes(images: Sequence[Mapping[str, Any]]) -> dict[int, Size]:
    """Return the size of each image by its id."""
    sizes: dict[int, Size] = {}
    for index, image in enumerate(images):
        place = f"truth['images'][{index}]"
        _check_keys(place, image, ["height", "width"])
        size = image["height"], image["width"]
        holds = all(isinstance(x, numbers.Integral) and int(x) >= 1 for x in size)
        check(place, size, "have a height and a width of at least 1", holds=holds)
        sizes[image["id"]] = size
    return sizes


@no_type_check
def _check_masks(masks: Mapping[str, tuple[Any, Size]], *, polygons: bool) -> list[RLE]:
    """Raise for the first mask that cannot be decoded; return the run-length codes.

    Args:
      masks: Masks and the sizes of their images, by their places in the arguments.
      polygons: Whether they may be polygons, which are not returned.
    """
    codes: dict[str, RLE] = {}
    kinds = "a run-length code" + (" or a list of polygons" if polygons else "")
    for place, (mask, size) in masks.items():
        if polygons and isinstance(mask, list | tuple):
            for index, polygon in enumerate(mask):
                _check_polygon(f"{place}[{index}]", polygon, size)
            continue
        check(place, mask, f"be {kinds}", holds=isinstance(mask, Mapping))
        _check_keys(place, mask, ["size", "counts"])
        rule = f"have the size of its image, {[*size]}"
        own = mask["size"]
        holds = isinstance(own, Iterable) and [*own] == [*size]
        check(place, own, rule, holds=holds)
        codes[place] = _compressed(place, mask["counts"], size)
    counts = [code["counts"] for code in codes.values()]
    valid = are_valid_counts(
        np.frombuffer(b"".join(counts), np.uint8),
        np.cumsum([0, *map(len, counts)]),
        np.array([np.prod(code["size"]) for code in codes.values()], np.int64),
    )
    for (place, code), fills in zip(codes.items(), valid.tolist(), strict=True):
        check(f"{place}['counts']", code["counts"], _RUNS, holds=fills)
    return [*codes.values()]


@no_type_check
def _compressed(place: str, counts: Any, size: Size) -> RLE:
    if isinstance(counts, Sequence) and not isinstance(counts, str | bytes):
        if (code := runs_to_rle([*map(_whole, counts)], size)) is not None:
            return code
        raise RefusedError(f"`{place}['counts']` must {_RUNS}, got {counts!r}.")
    holds = isinstance(counts, bytes) or (isinstance(counts, str) and counts.isascii())
    check(f"{place}['counts']", counts, "be bytes, ASCII or a list", holds=holds)
    counts = counts if isinstance(counts, bytes) else counts.encode("ascii")
    return RLE(size=[*size], counts=counts)


@no_type_check
def _check_polygon(place: str, polygon: Any, size: Size) -> None:
    rule = (
        "be x and y of at least three corners, finite and at most "
        f"{_FARTHEST} sides of the image away"
    )
    count = len(polygon) if isinstance(polygon, Sequence | np.ndarray) else 0
    holds = count >= 6 and count % 2 == 0 and _are_finite(polygon, count=count)
    holds = holds and bool(np.abs(polygon).max() <= _FARTHEST * max(size))
    check(place, polygon, rule, holds=holds)


@no_type_check
def _whole(run: Any) -> Any:
    return int(run) if isinstance(run, numbers.Integral) else run
