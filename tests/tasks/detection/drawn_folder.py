"""A folder of drawn pictures with annotations, in COCO's form."""

import json
import pathlib

import numpy as np
from PIL import Image

CLASSES = {3: "red", 7: "blue"}  # By id.


def drawn_folder(
    root: pathlib.Path,
    *,
    train: int = 4,
    val: int = 2,
    size: tuple[int, int] = (56, 60),
) -> pathlib.Path:
    """Write pictures with two rectangles each, one of each class, and their masks."""
    rng = np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split, count in {"train": train, "val": val}.items():
        (root / split).mkdir()
        images, annotations = [], []
        for index in range(count):
            name = f"{index}.png"
            pixels, boxes = _draw(rng, size)
            Image.fromarray(pixels).save(root / split / name)
            height, width = size
            images.append(
                {"id": index + 1, "file_name": name, "width": width, "height": height}
            )
            annotations += [
                _annotation(box, category, image=index + 1, own=len(annotations) + k)
                for k, (box, category) in enumerate(zip(boxes, CLASSES, strict=True), 1)
            ]
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": own, "name": x} for own, x in CLASSES.items()],
        }
        path = root / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content))
    return root


def _draw(rng, size) -> tuple[np.ndarray, list[list[int]]]:
    """Return a grey picture with a red and a blue rectangle, and x, y, w, h of both."""
    pixels = rng.integers(90, 130, (*size, 3), np.uint8)
    boxes = []
    for channel, left in ((0, 2), (2, size[1] // 2)):
        x, y = left + rng.integers(0, 6), rng.integers(2, size[0] // 2)
        w, h = rng.integers(12, 20, 2)
        pixels[y : y + h, x : x + w, channel] = 250
        boxes.append([int(x), int(y), int(w), int(h)])
    return pixels, boxes


def _annotation(box, category, *, image, own) -> dict:
    x, y, w, h = box
    return {
        "id": own,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": w * h,
        "iscrowd": 0,
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
    }
