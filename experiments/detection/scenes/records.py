"""Images and annotations in the form of COCO's files."""

from typing import Any

import numpy as np
import pycocotools.mask

from experiments.scenes.composition import SceneObject


def image_record(image_id: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the record of an image of a width and a height."""
    width, height = size
    return {"id": image_id, "file_name": name, "width": width, "height": height}


def annotation_of(
    scene_object: SceneObject, number: int, image_id: int
) -> dict[str, Any]:
    """Return the annotation of an object: class, box, area, and run lengths."""
    # pycocotools has no types, and takes arrays in Fortran's order.
    encode: Any = pycocotools.mask.encode
    encoded = encode(np.asfortranarray(scene_object.mask.astype(np.uint8)))
    rows, columns = (np.flatnonzero(scene_object.mask.any(axis)) for axis in (1, 0))
    x, y = int(columns[0]), int(rows[0])
    box = x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y
    return {
        "id": number,
        "image_id": image_id,
        "category_id": scene_object.label + 1,
        "bbox": list(box),
        "area": int(scene_object.mask.sum()),
        "iscrowd": 0,
        "segmentation": {
            "size": list(encoded["size"]),
            "counts": encoded["counts"].decode("ascii"),
        },
    }
