"""A file of detections in COCO's form: images, categories and annotations."""

import json
import pathlib
from typing import Any

import numpy as np

from carafe_jax.files import write_atomically
from carafe_jax.run_length_codes import mask_tools
from carafe_jax.tasks.detection.categories import Categories
from carafe_jax.tasks.detection.prediction import PhotographDetections
from carafe_jax.texts import printable


class CocoFile:
    """Collects the detections of photographs, and writes them."""

    def __init__(self, categories: Categories) -> None:
        """Start with no photograph."""
        self._categories = categories
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    @property
    def photographs(self) -> int:
        """Number of photographs so far."""
        return len(self._images)

    @property
    def objects(self) -> int:
        """Number of detections so far."""
        return len(self._annotations)

    def add(self, name: str, found: PhotographDetections) -> None:
        """Add a photograph with its detections."""
        height, width = found.size
        number = len(self._images) + 1
        self._images.append(
            {
                "id": number,
                "file_name": printable(name),
                "width": width,
                "height": height,
            }
        )
        for index in range(len(found)):
            own = len(self._annotations) + 1
            self._annotations.append(
                {"id": own, "image_id": number, **self._annotation(found, index)}
            )

    def write(self, path: pathlib.Path) -> None:
        """Write the file atomically."""
        content = {
            "images": self._images,
            "categories": self._categories.as_coco(),
            "annotations": self._annotations,
        }
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def _annotation(self, found: PhotographDetections, index: int) -> dict[str, Any]:
        box = np.asarray(found.boxes[index], np.float64)
        width, height = (box[2:] - box[:2]).tolist()
        annotation = {
            "category_id": self._categories.ids[int(found.labels[index])],
            "bbox": [*box[:2].tolist(), width, height],
            "area": width * height,
            "iscrowd": 0,
            "score": float(found.scores[index]),
        }
        if found.encoded_masks is not None:
            mask = found.encoded_masks[index]
            counts = mask["counts"].decode("ascii")
            annotation["segmentation"] = {"size": [*mask["size"]], "counts": counts}
            annotation["area"] = int(mask_tools().area(mask))
        return annotation
