"""Check of annotated images: their objects, classes, sizes and findings."""

import dataclasses
from collections.abc import Callable, Sequence

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
from carafe_jax.data.sources.opening import check_masks
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.data_check import ObjectCounts, Splits, SplitUse, open_existing
from carafe_jax.tasks.detection.data_check_options import DataCheckOptions
from carafe_jax.tasks.detection.trained_objects import (
    check_test_objects,
    check_training_objects,
    training_photographs,
)
from carafe_jax.tasks.picture_sheet import fit
from carafe_jax.texts import counted
from carafe_jax.viz import draw_detections


@dataclasses.dataclass(frozen=True)
class AnnotatedSplit:
    """Annotated images of one split."""

    images: AnnotatedImages
    source: str
    split: Split
    options: DataCheckOptions
    masks: bool
    """Whether a run on the source trains masks: its training objects have them."""

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

    @property
    def use(self) -> SplitUse:
        """What a run leaves out, or refuses.

        Without masks to train, it is that of Faster R-CNN.
        """
        if self.split == "test":
            return SplitUse(refused=self._refused_of_test())
        try:
            trained = training_photographs(self.images, masks=self.masks)
        except RefusedError as error:
            return SplitUse(refused=(str(error),))
        left_out = [] if trained.left_out is None else [trained.left_out]
        limit = self.options.max_objects
        if not self.options.truncate_objects:
            refused = _errors(
                lambda: check_training_objects(self.images, trained, limit=limit)
            )
            return SplitUse((*left_out,), refused)
        if (excess := trained.excess(limit)).photographs:
            left_out.append(
                f"the smallest objects of {counted(excess.photographs, 'photograph')} "
                f"with more than {limit}: {counted(excess.objects, 'object')}"
            )
        return SplitUse((*left_out,))

    def _refused_of_test(self) -> tuple[str, ...]:
        checks = [lambda: check_test_objects(self.images)]
        if self.masks:
            checks.append(lambda: check_masks(self.images, self.source, split="test"))
        return _errors(*checks)

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


def _errors(*checks: Callable[[], None]) -> tuple[str, ...]:
    """Return the errors of checks that refuse."""
    found: list[str] = []
    for check in checks:
        try:
            check()
        except RefusedError as error:
            found.append(str(error))
    return tuple(found)


def _resized(mask: RLE, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return a mask with a width and height."""
    image = Image.fromarray(decode_mask(mask))
    return np.asarray(image.resize(size, Image.Resampling.NEAREST))


def open_splits(
    source: str, *, test_fraction: float, options: DataCheckOptions
) -> Splits[AnnotatedSplit]:
    """Open the splits of a source of annotated images."""
    training: AnnotatedImages | None = None

    def open_split(split: Split) -> AnnotatedSplit:
        nonlocal training  # Its classes and masks are those of the test.
        images = open_annotated_images(
            source,
            split=split,
            test_split=options.test_split,
            test_fraction=test_fraction,
            classes=None if training is None else training.classes,
        )
        if split == "train":
            training = images
        masks = (images if training is None else training).has_masks
        return AnnotatedSplit(images, source, split, options, masks)

    return open_existing(open_split)
