"""A test set of drawn photographs, and a detector that knows their objects."""

import dataclasses
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_tools

from carafe_jax.data import UnreadableImageError
from carafe_jax.data.sources.annotated import ImageObjects
from carafe_jax.data.sources.findings import Findings
from carafe_jax.run_length_codes import RLE

SIZES = ((60, 90), (90, 60), (48, 48), (30, 200), (60, 90))
CROWDED = 1  # Photograph whose last object is a crowd.
EMPTY = 2  # Photograph without objects.


@dataclasses.dataclass(frozen=True)
class SmallSet:
    """Photographs with an object of each of two classes; of a third there is none."""

    sizes: tuple[tuple[int, int], ...] = SIZES
    unreadable: tuple[int, ...] = ()

    classes = ("square", "bar", "ring")
    category_ids = (3, 5, 9)
    has_masks = True
    findings = Findings()

    def __len__(self):
        return len(self.sizes)

    def name(self, index):
        return f"{index}.png"

    def image_id(self, index):
        return 100 - index  # Not in the order of the indices.

    def size(self, index):
        return self.sizes[index]

    def objects(self, index, *, masks=True):
        height, width = self.size(index)
        boxes = np.array(
            [[4, 6, 24, 26], [width * 0.4, height * 0.5, width - 2, height - 5.5]]
        )
        count = 0 if index == EMPTY else len(boxes)
        boxes = boxes[:count]
        encoded = tuple(rle(box, (height, width)) for box in boxes) if masks else None
        return ImageObjects(
            boxes=boxes,
            classes=np.arange(count),
            crowd=np.arange(count) == (1 if index == CROWDED else -1),
            areas=np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
            ids=np.arange(count),
            masks=encoded,
            masked=np.ones(count, bool),
        )

    def open(self, index):
        if index in self.unreadable:
            raise UnreadableImageError("damaged", self.name(index))
        height, width = self.size(index)
        pixels = np.full((height, width, 3), 40, np.uint8)
        for left, top, right, bottom in self.objects(index).boxes.astype(int):
            pixels[top:bottom, left:right] = (200, 180, 60)
        return Image.fromarray(pixels)

    def digest(self, *, masks):
        raise NotImplementedError

    def coco(self, *, kind="bbox"):
        del kind
        annotations: list[dict[str, Any]] = []
        for index in range(len(self)):
            truth = self.objects(index)
            for label, box, crowd, area, mask in zip(
                truth.classes.tolist(),
                truth.boxes.tolist(),
                truth.crowd.tolist(),
                truth.areas.tolist(),
                truth.masks or (),
                strict=True,
            ):
                left, top, right, bottom = box
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": self.image_id(index),
                        "category_id": self.category_ids[label],
                        "bbox": [left, top, right - left, bottom - top],
                        "area": area,
                        "iscrowd": int(crowd),
                        "segmentation": mask,
                    }
                )
        return {
            "images": [
                {"id": self.image_id(i), "height": h, "width": w}
                for i, (h, w) in enumerate(self.sizes)
            ],
            "annotations": annotations,
            "categories": [
                {"id": own, "name": name}
                for own, name in zip(self.category_ids, self.classes, strict=True)
            ],
        }


def rle(box, size):
    left, top, right, bottom = np.rint(box).astype(int)
    mask = np.zeros(size, np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    encoded: Any = mask_tools.encode(mask)
    return RLE(size=[*size], counts=encoded["counts"])


@dataclasses.dataclass(frozen=True)
class SmallData:
    """Test batches of a small set, the tall photographs first, as buckets order them.

    The images hold nothing but the objects, as a batch that `predict` reads.
    """

    held_out: SmallSet = SmallSet()
    masks: bool = True
    moved: float = 0.0

    def test_batches(self, *, batch_size=None, process_index=0, process_count=1):
        order = sorted(range(len(self.held_out)), key=self.held_out.size, reverse=True)
        batch_size = batch_size or 2
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            chosen += [chosen[0]] * (batch_size - len(chosen))
            filled = np.arange(start, start + batch_size) < len(order)
            readable = [index not in self.held_out.unreadable for index in chosen]
            mine = slice(process_index, None, process_count)
            yield {
                "image": np.stack([self._image(index) for index in chosen])[mine],
                "index": np.array(chosen, np.int32)[mine],
                "valid": (filled & np.array(readable))[mine],
            }

    def _image(self, index):
        """Return rows of box, score and label, which stand for the pixels."""
        truth = self.held_out.objects(index)
        rows = np.zeros((3, 6), np.float32)
        for row, box, label in zip(rows, truth.boxes, truth.classes, strict=False):
            row[:] = [*(box + self.moved), 0.9 - label / 4, label]
        return rows


def predict(variables, batch):
    """Return the objects in the batch, with scores times a variable."""
    rows = batch["image"]
    score = rows[..., 4] * variables["params"]["confidence"]
    found = {
        "box": rows[..., :4],
        "score": score,
        "label": rows[..., 5].astype(int),
        "object": score > 0.05,
    }
    full = np.ones((4, 4), np.float32)
    return {**found, "mask": found["object"][..., None, None] * full}
