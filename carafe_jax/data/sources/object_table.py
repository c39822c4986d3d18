"""Objects of all photographs of a split, in a few arrays."""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from carafe_jax.data.sources.annotated import AnnotationKind, ImageObjects
from carafe_jax.data.sources.region_masks import box_to_rle, polygons_to_rle
from carafe_jax.data.sources.shared_arrays import SharedArrays
from carafe_jax.run_length_codes import RLE

# Columns that determine a split, but for ids and masks.
_HASHED = ("name", "name_ends", "size", "first", "bbox", "label", "crowd", "area")


@dataclasses.dataclass(frozen=True)
class ObjectTable:
    """Names and sizes of photographs, and their objects, by index.

    Worker processes map its arrays instead of receiving copies.
    """

    arrays: SharedArrays
    classes: tuple[str, ...]
    category_ids: tuple[int, ...]
    has_masks: bool

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        columns: Mapping[str, np.ndarray],
        *,
        classes: tuple[str, ...],
        category_ids: tuple[int, ...],
    ) -> "ObjectTable":
        """Return a table.

        Args:
          names: Names of the photographs.
          columns: `image_id` and `size` (height, width) of each photograph; `image`
            (index of the photograph, ascending), `bbox` (x, y, width, height), `label`,
            `crowd`, `area` and `id` of each object; optionally `masked`, with the
            bounds `run_bounds` of its encoding in `runs`, and the bounds
            `polygon_bounds` of its polygons in `polygons`, which holds the bounds of
            each in `corners`.
          classes: Names of the classes.
          category_ids: Ids of the classes.
        """
        # Names of files may have bytes that are not UTF-8, as surrogates.
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        objects = columns["image"]
        arrays = {
            **columns,
            "first": np.searchsorted(objects, np.arange(len(names) + 1)),
            "name": np.frombuffer(b"".join(encoded), np.uint8),
            "name_ends": np.cumsum([0, *map(len, encoded)]),
        }
        del arrays["image"]
        masked = columns.get("masked")
        # A split without objects is not one whose objects lack masks.
        has_masks = masked is not None and (not len(masked) or bool(masked.any()))
        return cls(SharedArrays(arrays), classes, category_ids, has_masks)

    def __len__(self) -> int:
        return len(self.arrays["image_id"])

    def name(self, index: int) -> str:
        """Return the name of a photograph."""
        start, stop = self.arrays["name_ends"][index : index + 2]
        content = self.arrays["name"][start:stop].tobytes()
        return content.decode("utf-8", "surrogatepass")

    def size(self, index: int) -> tuple[int, int]:
        """Return height and width of a photograph."""
        height, width = self.arrays["size"][index].tolist()
        return height, width

    def image_id(self, index: int) -> int:
        """Return the id of a photograph."""
        return int(self.arrays["image_id"][index])

    def objects(self, index: int, *, masks: bool) -> ImageObjects:
        """Return the objects of a photograph."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        first, end = self.arrays["first"][index : index + 2].tolist()
        rows = slice(first, end)
        column = self.arrays
        count = end - first
        return ImageObjects(
            boxes=corners_of(column["bbox"][rows]),
            classes=column["label"][rows].astype(np.int64),
            crowd=column["crowd"][rows],
            areas=column["area"][rows],
            ids=column["id"][rows],
            masks=self._masks(index, range(first, end))
            if masks and self.has_masks
            else None,
            masked=column["masked"][rows] if self.has_masks else np.zeros(count, bool),
        )

    def digest(self, *, masks: bool) -> str:
        """Return a hash of names, sizes and objects, without ids, in hexadecimal."""
        digest = hashlib.sha256()
        for name in _HASHED:
            digest.update(self.arrays[name].tobytes())
        if masks and self.has_masks:
            self._hash_masks(digest.update)
        return digest.hexdigest()

    def coco(self, *, kind: AnnotationKind) -> dict[str, Any]:
        """Return the split in COCO's form."""
        return {
            "images": [self._image(index) for index in range(len(self))],
            "annotations": self._annotations(kind),
            "categories": [
                {"id": id_, "name": name}
                for id_, name in zip(self.category_ids, self.classes, strict=True)
            ],
        }

    def _image(self, index: int) -> dict[str, Any]:
        height, width = self.size(index)
        return {
            "id": self.image_id(index),
            "file_name": self.name(index),
            "height": height,
            "width": width,
        }

    def _annotations(self, kind: AnnotationKind) -> list[dict[str, Any]]:
        annotations: list[dict[str, Any]] = []
        for index in range(len(self)):
            image_id, found = self.image_id(index), self.objects(index, masks=True)
            first = int(self.arrays["first"][index])
            boxes = self.arrays["bbox"][first : first + len(found)].tolist()
            crowd = found.crowd | (~found.masked if kind == "segm" else False)
            for number in range(len(found)):
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": self.category_ids[found.classes[number]],
                    "bbox": boxes[number],
                    "area": float(found.areas[number]),
                    "iscrowd": int(crowd[number]),
                }
                if found.masks is not None:
                    annotation["segmentation"] = found.masks[number]
                annotations.append(annotation)
        return annotations

    def _hash_masks(self, update: Callable[[Any], None]) -> None:
        """Hash the masks of the objects alone: the arrays may hold further ones."""
        arrays = self.arrays
        runs, polygons = arrays["run_bounds"], arrays["polygon_bounds"]
        corners = arrays["polygons"][_ranges(polygons)]
        for array in (arrays["masked"], *map(np.diff, (runs, polygons, corners))):
            update(array.tobytes())
        for name, bounds in {"runs": runs, "corners": corners}.items():
            content = arrays[name].data  # Slices of it cost less than those of arrays.
            for start, stop in bounds.tolist():
                update(content[start:stop])

    def _masks(self, index: int, rows: range) -> tuple[RLE, ...]:
        size = self.size(index)
        return tuple(mask_of(self.arrays, row, size) for row in rows)


def _ranges(bounds: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "m"]:
    """Return the numbers from each start to its stop, one range after the other."""
    lengths = np.diff(bounds).ravel()
    offsets = bounds[:, 0] - np.append(0, np.cumsum(lengths)[:-1])[: len(lengths)]
    return np.repeat(offsets, lengths) + np.arange(lengths.sum())


def corners_of(boxes: Float64[np.ndarray, "g 4"]) -> Float64[np.ndarray, "g 4"]:
    """Return x1, y1, x2, y2 of boxes that are x, y, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)


def mask_of(
    arrays: Mapping[str, np.ndarray] | SharedArrays, row: int, size: tuple[int, int]
) -> RLE:
    """Return the mask of an object; that of its box if it has none of its own.

    Args:
      arrays: Columns of masks, and `bbox`, as in `ObjectTable.of`.
      row: Row of the object.
      size: Height and width of the photograph.
    """
    if not arrays["masked"][row]:
        (box,) = corners_of(arrays["bbox"][row : row + 1])
        return box_to_rle(box, size)
    start, stop = arrays["run_bounds"][row].tolist()
    if stop > start:
        return RLE(size=[*size], counts=arrays["runs"][start:stop].tobytes())
    first, last = arrays["polygon_bounds"][row].tolist()
    polygons = arrays["polygons"][first:last].tolist()
    return polygons_to_rle([arrays["corners"][x:y] for x, y in polygons], size)
