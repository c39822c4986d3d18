"""Check of annotated images: their objects, classes, sizes and findings."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from PIL import Image

from carafe_jax.data import (
    RLE,
    AnnotatedImages,
    Findings,
    Split,
    decode_image,
    decode_mask,
    open_annotated_images,
)
from carafe_jax.tasks.data_check import ObjectCounts, open_existing
from carafe_jax.tasks.picture_sheet import fit
from carafe_jax.texts import counted
from carafe_jax.viz import draw_detections


@dataclasses.dataclass(frozen=True)
class AnnotatedSplit:
    """Annotated images of one split."""

    images: AnnotatedImages

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def findings(self) -> Findings:
        """What was dropped, mended or kept of the annotations."""
        return self.images.findings

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Height and width of each image, by its annotations."""
        return [self.images.size(index) for index in range(len(self.images))]

    def open(self, index: int) -> tuple[Image.Image, int | None]:
        """Open an image."""
        return self.images.open(index), None

    def object_counts(self) -> ObjectCounts | None:
        """Return the numbers of objects."""
        per_image = np.zeros(len(self.images), np.int64)
        per_class = np.zeros(len(self.classes), np.int64)
        images_per_class = np.zeros(len(self.classes), np.int64)
        crowds = 0
        for index in range(len(self.images)):
            found = self.images.objects(index, masks=False)
            labels = found.classes[~found.crowd]
            per_image[index] = len(labels)
            per_class += np.bincount(labels, minlength=len(self.classes))
            images_per_class[np.unique(labels)] += 1
            crowds += int(found.crowd.sum())
        return ObjectCounts(per_image, per_class, images_per_class, crowds)

    def examples(self, count: int) -> list[int]:
        """Return images of many classes, with the one of the most objects."""
        order = np.random.default_rng(0).permutation(len(self.images))
        counts = [len(self.images.objects(i, masks=False)) for i in order.tolist()]
        chosen = [int(order[np.argmax(counts)])]
        seen: set[int] = set()
        for index in order.tolist():
            labels = set(self.images.objects(index, masks=False).classes.tolist())
            if labels - seen:
                seen |= labels
                chosen.append(index)
        # Then any others.
        return list(dict.fromkeys([*chosen, *order.tolist()]))[:count]

    def draw(self, index: int, *, height: int) -> tuple[Image.Image, str]:
        """Return a picture with its boxes, masks and names, and its file name."""
        with self.images.open(index) as image:
            photograph = Image.fromarray(decode_image(image))
        found = self.images.objects(index)
        labels = [
            "crowd" if crowd else self.classes[int(label)]
            for label, crowd in zip(found.classes, found.crowd, strict=True)
        ]
        picture = fit(photograph, height)
        factor = np.divide(picture.size, photograph.size)
        drawn = draw_detections(
            np.asarray(picture),
            (found.boxes * np.tile(factor, 2)).astype(np.float32),
            labels=labels,
            masks=None
            if found.masks is None
            else [_resized(mask, picture.size) for mask in found.masks],
            classes=[*self.classes, "crowd"] if found.crowd.any() else self.classes,
        )
        name = self.images.name(index).split("/")[-1]
        crowds = int(found.crowd.sum())
        caption = f"{name}: {counted(len(found) - crowds, 'object')}"
        if crowds:
            caption += f", {counted(crowds, 'crowd')}"
        return Image.fromarray(drawn), caption


def _resized(mask: RLE, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return a mask with a width and height."""
    image = Image.fromarray(decode_mask(mask))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def open_splits(source: str, *, test_fraction: float) -> dict[str, AnnotatedSplit]:
    """Open the splits of a source of annotated images."""
    classes: tuple[str, ...] | None = None

    def open_split(split: Split) -> AnnotatedSplit:
        nonlocal classes  # Those of training are those of the test.
        images = open_annotated_images(
            source, split=split, test_fraction=test_fraction, classes=classes
        )
        classes = images.classes
        return AnnotatedSplit(images)

    return open_existing(open_split)
