"""COCO's average precision and recall of detections, for boxes and masks."""

import dataclasses
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.extras import import_extra
from carafe_jax.metrics.coco_form import Kind as Kind
from carafe_jax.metrics.coco_form import checked_detections, checked_truth

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
    detections: Iterable[Mapping[str, Any]],
    *,
    kind: Kind,
    max_detections: Iterable[int] = MAX_DETECTIONS,
) -> APResult:
    """Return average precision and recall as COCO defines them.

    As in "Detection Evaluation" of https://cocodataset.org: precision is interpolated
    at 101 recalls; a detection that matches a crowd, or an object or detection of
    another size, does not count. The numbers are those of pycocotools, computed by
    faster-coco-eval.

    Args:
      truth: Content of a COCO annotation file: "images", "annotations" and
        "categories", whose ids are different integers. For masks, images have their
        "height" and "width", and annotations a "segmentation" of that size.
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
    limits = [*max_detections] if isinstance(max_detections, Iterable) else []
    rule = "be ascending positive integers"
    holds = bool(limits) and all(isinstance(x, numbers.Integral) for x in limits)
    holds = holds and limits[0] >= 1 and limits == sorted(set(limits))
    check("max_detections", max_detections, rule, holds=holds)
    check("kind", kind, "be 'bbox' or 'segm'", holds=kind in ("bbox", "segm"))
    known = checked_truth(truth, kind)
    found = checked_detections(detections, known, kind)
    coco = import_extra("faster_coco_eval", extra="detection", purpose="COCO AP")
    evaluation = coco.COCOeval_faster(
        coco.COCO(known),
        coco.COCO(found),
        kind,
        print_function=_print_nothing,
    )
    limits = [*map(int, limits)]
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
