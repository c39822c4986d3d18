"""A file of detections in COCO's form, which the same command continues."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.run_length_codes import mask_tools
from carafe_jax.tasks.detection.categories import Categories
from carafe_jax.tasks.detection.prediction import PhotographDetections
from carafe_jax.texts import printable

Content = Mapping[str, Any]
"""Content of a file."""


class RecordedPhotograph(NamedTuple):
    """A photograph as it is recorded in a file."""

    path: str
    """Its path, as `recorded_path` returns it."""
    fingerprint: str | None
    """That of its file when it was read. None: an earlier version recorded none."""


@dataclasses.dataclass(frozen=True)
class _Photograph:
    """A photograph and its detections, without their numbers in the file."""

    image: dict[str, Any]
    annotations: list[dict[str, Any]]


class CocoFile:
    """Collects the detections of photographs, and writes them."""

    def __init__(
        self,
        categories: Categories,
        *,
        provenance: Mapping[str, Any],
        stored: Content | None = None,
    ) -> None:
        """Start with the photographs of a stored file, or with none.

        Args:
          categories: Classes of the detector.
          provenance: All that the detections depend on, besides the photographs.
          stored: Content of the file to continue, as `read_content` returns it.

        Raises:
          RefusedError: The stored detections are of another provenance.
        """
        self._categories = categories.as_coco()
        self._provenance = dict(provenance)
        self._photographs: dict[str, _Photograph] = {}
        if stored is not None:
            self._check_provenance(stored)
            self._take(stored)

    @property
    def photographs(self) -> int:
        """Number of photographs so far."""
        return len(self._photographs)

    @property
    def objects(self) -> int:
        """Number of detections so far."""
        return sum(len(each.annotations) for each in self._photographs.values())

    def add(
        self,
        name: str,
        path: pathlib.Path,
        found: PhotographDetections,
        *,
        fingerprint: str,
    ) -> None:
        """Add a photograph with its detections, or replace those of the name.

        Args:
          name: Name of the photograph in the file.
          path: Its file.
          found: Its detections.
          fingerprint: `file_fingerprint` of the file, from before it was read.
        """
        height, width = found.size
        image: dict[str, Any] = {
            "file_name": printable(name),
            "path": recorded_path(path),
            "fingerprint": fingerprint,
            "width": width,
            "height": height,
        }
        annotations = [self._annotation(found, index) for index in range(len(found))]
        self._photographs[image["file_name"]] = _Photograph(image, annotations)

    def remove(self, name: str) -> None:
        """Remove the photograph of a name, which must be there, and its detections."""
        del self._photographs[printable(name)]

    def has(self, name: str) -> bool:
        """Return whether there is a photograph of this name."""
        return printable(name) in self._photographs

    def write(self, path: pathlib.Path) -> None:
        """Write the file atomically."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, each in enumerate(self._photographs.values(), 1):
            images.append({"id": number, **each.image})
            for annotation in each.annotations:
                own = {"id": len(annotations) + 1, "image_id": number}
                annotations.append({**own, **annotation})
        content = {
            "info": self._provenance,
            "images": images,
            "categories": self._categories,
            "annotations": annotations,
        }
        with write_atomically(path) as partial:
            partial.write_text(json.dumps(content) + "\n", encoding="utf-8")

    def _check_provenance(self, stored: Content) -> None:
        now = {**self._provenance, "categories": self._categories}
        then = {**stored["info"], "categories": stored["categories"]}
        changes = [
            f"{name} {then.get(name)!r}, now {now.get(name)!r}"
            for name in {**now, **then}
            if then.get(name) != now.get(name)
        ]
        if changes:
            raise RefusedError(
                "`output` must hold detections of the same detector with the same "
                f"options, got {'; '.join(changes)}. --overwrite starts anew."
            )

    def _take(self, stored: Content) -> None:
        own: dict[int, list[dict[str, Any]]] = {x["id"]: [] for x in stored["images"]}
        for annotation in stored["annotations"]:
            rest = dict(annotation)
            del rest["id"]
            own[rest.pop("image_id")].append(rest)
        for image in stored["images"]:
            rest = {name: x for name, x in image.items() if name != "id"}
            self._photographs[rest["file_name"]] = _Photograph(rest, own[image["id"]])

    def _annotation(self, found: PhotographDetections, index: int) -> dict[str, Any]:
        box = np.asarray(found.boxes[index], np.float64)
        width, height = (box[2:] - box[:2]).tolist()
        category = self._categories[int(found.labels[index])]
        annotation = {
            "category_id": category["id"],
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


def read_content(path: pathlib.Path) -> Content | None:
    """Return the content of a file that `CocoFile` wrote; None: it does not exist.

    Raises:
      RefusedError: Something else is there.
    """
    if not path.exists():
        return None
    try:
        content: Content = json.loads(path.read_text(encoding="utf-8"))
        if _is_own(content):
            return content
    except (ValueError, KeyError, TypeError):
        pass
    raise RefusedError(
        f"`output` must hold no file of another program, got {str(path)!r}; "
        "--overwrite writes over it."
    )


def _is_own(content: Content) -> bool:
    """Return whether `CocoFile` wrote this; raise errors of access if it has not."""
    numbers = {image["id"] for image in content["images"]}
    complete = {x["image_id"] for x in content["annotations"]} <= numbers
    names = recorded_photographs(content)
    return complete and len(names) == len(numbers) and "weights" in content["info"]


def recorded_photographs(content: Content) -> dict[str, RecordedPhotograph]:
    """Return the photographs in a file by their names, as recorded."""
    return {
        image["file_name"]: RecordedPhotograph(image["path"], image.get("fingerprint"))
        for image in content["images"]
    }


def recorded_path(photograph: pathlib.Path) -> str:
    """Return the path of a photograph as it is recorded in a file."""
    return printable(photograph.resolve())
