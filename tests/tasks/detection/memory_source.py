"""A source of annotated images in memory."""

import dataclasses
import io

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks

from carafe_jax.data import ImageObjects, open_image
from carafe_jax.data.sources.findings import Findings

CLASSES = ("cat", "dog", "owl")


@dataclasses.dataclass(frozen=True)
class Photograph:
    """An encoded photograph with its objects."""

    content: bytes
    size: tuple[int, int]
    objects: ImageObjects


@dataclasses.dataclass(frozen=True)
class MemorySource:
    """Annotated images, by index."""

    photographs: tuple[Photograph, ...]
    classes: tuple[str, ...] = CLASSES
    has_masks: bool = True
    opened: list[int] = dataclasses.field(default_factory=list)

    @property
    def category_ids(self):
        return tuple(range(1, 1 + len(self.classes)))

    @property
    def findings(self):
        return Findings()

    def __len__(self):
        return len(self.photographs)

    def name(self, index):
        return f"photograph {index}"

    def image_id(self, index):
        return 10 + index

    def size(self, index):
        return self.photographs[index].size

    def objects(self, index, *, masks=True):
        objects = self.photographs[index].objects
        return objects if masks else dataclasses.replace(objects, masks=None)

    def open(self, index):
        self.opened.append(index)
        return open_image(self.photographs[index].content, name=self.name(index))

    def digest(self, *, masks):
        raise NotImplementedError

    def coco(self, *, kind="bbox"):
        raise NotImplementedError


def encoded(pixels: np.ndarray) -> bytes:
    """Return a photograph as a PNG, which keeps the pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def objects_of(masks: np.ndarray, *, boxes=None, **fields) -> ImageObjects:
    """Return objects with (g, h, w) masks, and with their extents as boxes."""
    count = len(masks)
    encoded_masks = [coco_masks.encode(np.asfortranarray(m, np.uint8)) for m in masks]
    if boxes is None:
        x, y, w, h = np.array([coco_masks.toBbox(m) for m in encoded_masks]).T
        boxes = np.stack([x, y, x + w, y + h], -1)
    boxes = np.asarray(boxes, np.float64)
    values = {
        "boxes": boxes,
        "classes": np.arange(count) % len(CLASSES),
        "crowd": np.zeros(count, bool),
        "areas": np.asarray(masks, np.float64).sum((1, 2)),
        "ids": np.arange(count),
        "masks": tuple(encoded_masks),
        "masked": np.ones(count, bool),
        **fields,
    }
    return ImageObjects(**values)


def no_objects(size: tuple[int, int]) -> ImageObjects:
    return objects_of(np.zeros((0, *size), bool), boxes=np.zeros((0, 4)))


def random_masks(rng, size, count) -> np.ndarray:
    """Return rectangles of random size with a random texture."""
    masks = np.zeros((count, *size), bool)
    for mask in masks:
        (top, bottom), (left, right) = (
            np.sort(rng.choice(side + 1, 2, replace=False)) for side in size
        )
        texture = rng.random((bottom - top, right - left)) < 0.7
        texture[0, 0] = texture[-1, -1] = True
        mask[top:bottom, left:right] = texture
    return masks


def photograph(size, *, count=3, seed=0, red=None) -> Photograph:
    """Return a noisy photograph with random objects."""
    rng = np.random.default_rng([seed, *size])
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    if red is not None:
        pixels[:] = red
    objects = objects_of(random_masks(rng, size, count)) if count else no_objects(size)
    return Photograph(encoded(pixels), size, objects)
