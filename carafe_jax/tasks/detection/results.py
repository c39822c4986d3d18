"""Detections of photographs as COCO results, and their files."""

import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np

from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.errors import no_type_check
from carafe_jax.files import write_atomically
from carafe_jax.metrics.coco import Kind
from carafe_jax.run_length_codes import RLE
from carafe_jax.tasks.detection.mask_encoding import encode_masks


class DetectionResult(TypedDict):
    """A detection in COCO's form."""

    image_id: int
    category_id: int
    bbox: list[float]
    """x, y, width and height in pixels of the photograph."""
    score: float
    segmentation: NotRequired[RLE]
    """Mask at the photograph's size."""


ResultsByImage = dict[int, list[DetectionResult]]
"""Detections of each photograph, by its index in the test set."""


@no_type_check
def coco_results(
    outputs: Mapping[str, np.ndarray], images: AnnotatedImages
) -> ResultsByImage:
    """Return the detections of a batch; masks are pasted one after the other.

    Args:
      outputs: Arrays with a leading axis n of photographs: "index" (n,), the index of
        each in `images`; "object" (n, d), whether there is a detection; "box"
        (n, d, 4), x1, y1, x2, y2 in pixels of the photograph; "score" and "label"
        (n, d); and "mask" (n, d, m, m), probabilities over the boxes, of detectors with
        masks.
      images: Test set.
    """
    found: ResultsByImage = {}
    for row, index in enumerate(outputs["index"].tolist()):
        kept = outputs["object"][row]
        boxes = outputs["box"][row][kept]
        corners, sizes = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
        image_id = images.image_id(index)
        detections = [
            DetectionResult(
                image_id=image_id,
                category_id=images.category_ids[int(label)],
                bbox=box,
                score=score,
            )
            for label, box, score in zip(
                outputs["label"][row][kept].tolist(),
                np.concatenate([corners, sizes], 1).tolist(),
                outputs["score"][row][kept].tolist(),
                strict=True,
            )
        ]
        if "mask" in outputs:
            masks = outputs["mask"][row][kept]
            encoded = encode_masks(masks, boxes, size=images.size(index))
            for detection, mask in zip(detections, encoded, strict=True):
                detection["segmentation"] = mask
        found[index] = detections
    return found


def write_results(
    path: pathlib.Path, detections: Iterable[DetectionResult], *, kind: Kind
) -> None:
    """Write detections as a JSON file that COCO's tools read, atomically.

    With `kind` "segm" there are no boxes: pycocotools would tell small, medium and
    large detections apart by them.
    """
    with (
        write_atomically(path) as partial,
        partial.open("w", encoding="utf-8") as file,
    ):
        file.write("[")
        file.writelines(_lines(detections, kind))
        file.write("\n]\n")


def _lines(detections: Iterable[DetectionResult], kind: Kind) -> Iterator[str]:
    left_out = "segmentation" if kind == "bbox" else "bbox"
    separator = "\n"
    for detection in detections:
        content: dict[str, Any] = {**detection}
        content.pop(left_out, None)
        if "segmentation" in content:
            mask = content["segmentation"]
            content["segmentation"] = {**mask, "counts": mask["counts"].decode("ascii")}
        yield separator + json.dumps(content)
        separator = ",\n"
