"""COCO's average precision and recall of detections, for boxes and masks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64

from carafe_jax.arguments import Number, check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.extras import import_extra

Kind = Literal["bbox", "segm"]
"""Kind of the regions whose overlap is measured, in COCO's words: boxes or masks."""

MAX_DETECTIONS = (1, 10, 100)

_AREAS = ("all", "small", "medium", "large")


@dataclasses.dataclass(frozen=True)
class APResult:
    """Average precision and recall, over all classes and of each class.

    The numbers are `ap`, the mean over IoU thresholds 0.50, 0.55, ..., 0.95; `ap50` and
    `ap75`, at one threshold; `ap_small`, `ap_medium` and `ap_large`, of objects below
    32 x 32 pixels, below 96 x 96, and of the others; `ar1`, `ar10` and `ar100`, the
    recall with so many detections per image, as in `max_detections`; `ar_small`,
    `ar_medium` and `ar_large`. A number without objects to measure is NaN.
    """

    numbers: dict[str, float]
    """Means over the classes that have objects."""
    per_class: dict[int, dict[str, float]]
    """Numbers of each class, by its category id."""


@no_type_check
def average_precision(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    *,
    kind: Kind,
    max_detections: Sequence[int] = MAX_DETECTIONS,
) -> APResult:
    """Return average precision and recall as COCO defines them.

    As in "Detection Evaluation" of https://cocodataset.org: precision is interpolated
    at 101 recalls; a detection that matches a crowd, or an object or detection of
    another size, does not count. The numbers are those of pycocotools, computed by
    faster-coco-eval.

    Args:
      truth: Content of a COCO annotation file: "images", "annotations" and
        "categories".
      detections: COCO results, each with "image_id", "category_id", "score" and, by
        `kind`, "bbox" (x, y, width, height) or "segmentation" (RLE). Small, medium and
        large detections are told apart by the area of that region.
      kind: Whether to compare boxes or masks.
      max_detections: Numbers of detections per image and class of the recalls, in
        ascending order; the best of the last number enter everything else.

    Returns:
      The numbers; COCO's twelve if `max_detections` has three.

    Raises:
      RefusedError: An argument breaks a rule; the message names it.
      MissingExtraError: faster-coco-eval is not installed.
    """
    limits = list(max_detections)
    rule = "be ascending positive integers"
    holds = bool(limits) and all(isinstance(limit, int) for limit in limits)
    holds = holds and limits[0] >= 1 and limits == sorted(set(limits))
    check("max_detections", max_detections, rule, holds=holds)
    check("kind", kind, "be 'bbox' or 'segm'", holds=kind in ("bbox", "segm"))
    coco = import_extra("faster_coco_eval", extra="detection", purpose="COCO AP")
    evaluation = coco.COCOeval_faster(
        coco.COCO(_indexed_truth(truth, kind)),
        coco.COCO(_indexed_detections(truth, detections, kind)),
        kind,
        print_function=_print_nothing,
    )
    evaluation.params.maxDets = limits
    evaluation.evaluate()
    evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])
    recall = np.asarray(evaluation.eval["recall"])
    thresholds = np.asarray(evaluation.params.iouThrs)
    categories = evaluation.params.catIds
    return APResult(
        _numbers(precision, recall, thresholds, limits),
        {
            int(category): _numbers(
                precision[:, :, [index]], recall[:, [index]], thresholds, limits
            )
            for index, category in enumerate(categories)
        },
    )


def _print_nothing(*text: object) -> None:
    del text


def _numbers(
    precision: Float64[np.ndarray, "t r k a m"],
    recall: Float64[np.ndarray, "t k a m"],
    thresholds: Float64[np.ndarray, "t"],
    limits: Sequence[int],
) -> dict[str, float]:
    of_size = list(zip(_AREAS, range(len(_AREAS)), strict=True))[1:]
    at = {50: np.isclose(thresholds, 0.5), 75: np.isclose(thresholds, 0.75)}
    every = precision[..., 0, -1]
    return {
        "ap": _mean(every),
        **{f"ap{percent}": _mean(every[here]) for percent, here in at.items()},
        **{f"ap_{name}": _mean(precision[..., a, -1]) for name, a in of_size},
        **{f"ar{limit}": _mean(recall[..., 0, m]) for m, limit in enumerate(limits)},
        **{f"ar_{name}": _mean(recall[..., a, -1]) for name, a in of_size},
    }


def _mean(values: Float64[np.ndarray, "..."]) -> float:
    """Return the mean without the values of classes that have no objects, -1."""
    present = values[values > -1]
    return float(present.mean()) if present.size else float("nan")


@no_type_check
def _indexed_truth(truth: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Return a copy of the truth for the evaluation, which writes into it."""
    names = ("images", "annotations", "categories")
    missing = [name for name in names if name not in truth]
    if missing:
        raise RefusedError(
            f"`truth` must have the keys {', '.join(names)}, got none for "
            f"{' and '.join(missing)}."
        )
    if kind == "segm":
        for annotation in truth["annotations"]:
            if not annotation.get("segmentation"):
                raise RefusedError(
                    "`truth` must have a segmentation of each annotation to evaluate "
                    f"masks, got none of the annotation {annotation.get('id')!r}."
                )
    # Numbered from 1: the evaluation takes the id 0 for "no match".
    annotations = [
        {"iscrowd": 0, "area": _area(x["bbox"]), **x, "id": number}
        for number, x in enumerate(truth["annotations"], start=1)
    ]
    return {
        "images": [dict(image) for image in truth["images"]],
        "categories": [dict(category) for category in truth["categories"]],
        "annotations": annotations,
    }


@no_type_check
def _indexed_detections(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], kind: Kind
) -> dict[str, Any]:
    region = "bbox" if kind == "bbox" else "segmentation"
    _check_detections(truth, detections, region)
    if kind == "bbox":
        areas = [_area(x["bbox"]) for x in detections]
    else:
        masks = import_extra(
            "faster_coco_eval.core.mask", extra="detection", purpose="COCO AP"
        )
        areas = masks.area([x["segmentation"] for x in detections])
    annotations = [
        {
            "id": number,
            "image_id": x["image_id"],
            "category_id": x["category_id"],
            "score": x["score"],
            region: x[region],
            "area": float(area),
            "iscrowd": 0,
        }
        for number, (x, area) in enumerate(zip(detections, areas, strict=True), 1)
    ]
    return {
        "images": [dict(image) for image in truth["images"]],
        "categories": [dict(category) for category in truth["categories"]],
        "annotations": annotations,
    }


def _area(box: Sequence[Number]) -> Number:
    return box[2] * box[3]


@no_type_check
def _check_detections(
    truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], region: str
) -> None:
    names = ("image_id", "category_id", "score", region)
    known = {
        "image_id": {image["id"] for image in truth["images"]},
        "category_id": {category["id"] for category in truth["categories"]},
    }
    for index, detection in enumerate(detections):
        for name in names:
            if name not in detection:
                raise RefusedError(
                    f"`detections[{index}]` must have the keys {', '.join(names)}, "
                    f"got none for {name}."
                )
        for name, ids in known.items():
            if detection[name] not in ids:
                raise RefusedError(
                    f"`detections[{index}][{name!r}]` must be an id in `truth`, got "
                    f"{detection[name]!r}."
                )
    scores = np.array([x["score"] for x in detections], np.float64).reshape(-1, 1)
    _check_each("scores", scores, np.isfinite(scores), "be finite")
    if region == "bbox":
        boxes = np.array([x["bbox"] for x in detections], np.float64).reshape(-1, 4)
        holds = np.isfinite(boxes) & (boxes >= np.array([-np.inf, -np.inf, 0, 0]))
        _check_each("boxes", boxes, holds, "be finite, without negative sizes")


def _check_each(
    name: str,
    values: Float64[np.ndarray, "d n"],
    holds: Bool[np.ndarray, "d n"],
    rule: str,
) -> None:
    if not holds.all():
        index = int(np.argwhere(~holds)[0, 0])
        raise RefusedError(
            f"The {name} of `detections` must {rule}, got {values[index].tolist()} of "
            f"`detections[{index}]`."
        )
