"""Folders with COCO annotation files for tests."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pycocotools.mask
from PIL import Image

from carafe_jax.data import AnnotatedImages, open_annotated_images

tools: Any = pycocotools.mask  # Its types allow no mask as it returns them.
CATEGORIES = ({"id": 3, "name": "owl"}, {"id": 1, "name": "cat"})
SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]  # 8 pixels wide, 6 high.


def image(number: int, **fields: Any) -> dict[str, Any]:
    """Return an image entry, 40 pixels wide and 30 high."""
    file_name = f"{number}.png"
    return {"id": number, "file_name": file_name, "height": 30, "width": 40} | fields


def annotation(number: float, **fields: Any) -> dict[str, Any]:
    """Return an annotation of image 1, a cat with the mask `SQUARE`."""
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "bbox": [2, 2, 8, 6],
        "area": 48,
        "iscrowd": 0,
        "segmentation": SQUARE,
    } | fields


def without(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in names}


def content(
    annotations: Sequence[Any] = (),
    *,
    images: Sequence[Any] = (image(1), image(2)),
    categories: Sequence[Any] = CATEGORIES,
) -> dict[str, Any]:
    return {
        "images": [*images],
        "annotations": [annotation(100), *annotations],
        "categories": [*categories],
    }


def write_split(
    root: pathlib.Path, entries: Any, *, split: str = "train", pictures: bool = True
) -> pathlib.Path:
    """Write an annotation file, and a picture for each image that it names."""
    file = root / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    (root / split).mkdir(exist_ok=True)
    if isinstance(entries, str):
        file.write_text(entries)
        return root
    file.write_text(json.dumps(entries))
    for entry in entries["images"] if pictures else ():
        path = root / split / entry["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "white").save(path)
    return root


def masks_of(images: AnnotatedImages, index: int) -> list[Any]:
    """Return the masks of an image as arrays."""
    return [tools.decode(mask) for mask in images.objects(index).masks or ()]


def open_train(root: pathlib.Path) -> AnnotatedImages:
    """Open the training annotations, all of them: there is a test split."""
    if not list((root / "annotations").glob("instances_val*")):
        write_split(root, content(), split="val")
    return open_annotated_images(str(root), split="train")


def found(images: AnnotatedImages) -> dict[str, str]:
    """Return the findings: text and examples by treatment, joined."""
    return {
        treatment: "; ".join(map(str, images.findings.of(treatment)))
        for treatment in ("dropped", "mended", "kept")
        if images.findings.of(treatment)
    }
