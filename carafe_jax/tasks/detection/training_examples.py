"""Training examples of detection: random views of photographs with their objects."""

import dataclasses
import functools

import numpy as np

from carafe_jax.data import AnnotatedImages, GroupedOrder, UnreadableImages, Visit
from carafe_jax.tasks.detection.buckets import Bucket
from carafe_jax.tasks.detection.data_batches import DetectionTrainingBatch
from carafe_jax.tasks.detection.data_settings import DetectionData
from carafe_jax.tasks.detection.instance_masks import pack_masks
from carafe_jax.tasks.detection.photographs import padded_image, read_photograph
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR
from carafe_jax.tasks.detection.views import View, random_view, whole_view
from carafe_jax.tasks.detection.visible_objects import visible_objects
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.opencv import resize_photograph


@dataclasses.dataclass(frozen=True)
class TrainingExamples:
    """Random views of the training photographs, by visit."""

    data: DetectionData
    images: AnnotatedImages
    unreadable: UnreadableImages
    buckets: tuple[Bucket, ...]
    order: GroupedOrder
    """Order of the images of the buckets."""
    masks: bool
    """Whether examples have instance masks."""

    def __call__(
        self, visit: Visit, rng: np.random.Generator
    ) -> DetectionTrainingBatch:
        """Return a view of a photograph, or of the next readable one of its bucket.

        If there is none, the example is blank and has no weight.
        """
        bucket = self.buckets[visit.group]
        transpose = self._transposes(visit.batch)
        size = bucket.size.transposed if transpose else bucket.size
        made = self.unreadable.read_or_next_of(
            int(np.searchsorted(bucket.indices, visit.index)),
            functools.partial(self._view, rng=rng, size=size, transpose=transpose),
            group=bucket.indices,
        )
        example = self._blank(size) if made is None else made
        if visit.fills:
            example["weight"] = np.array(0, np.float32)
        return example

    def _transposes(self, batch: int) -> bool | None:
        """Return whether a batch has images turned on their side; None: some are.

        A turned photograph has another bucket, unless it is cropped to a square. All
        images of a batch are therefore turned on their side, or none.
        """
        if self.data.crop_size is not None or self.data.turns == "none":
            return None
        return bool(self.order.batch_generator(batch).integers(2))

    def _view(
        self,
        index: int,
        *,
        rng: np.random.Generator,
        size: Size,
        transpose: bool | None,
    ) -> DetectionTrainingBatch:
        data = self.data
        photograph = read_photograph(self.images, index)
        own = Size(*photograph.shape[:2])
        resized = data.resized(own)
        view = random_view(
            rng,
            resized,
            crop_size=data.crop_size,
            flips=data.flips,
            turns=data.turns,
            transpose=transpose,
        )
        pixels = view.of_pixels(resize_photograph(photograph, resized))
        return DetectionTrainingBatch(
            image=padded_image(pixels, size),
            image_size=np.array(view.size, np.int32),
            padded_size=np.array(view.size.padded_to(SIZE_DIVISOR), np.int32),
            **self._objects(index, own, resized, view, size),
            weight=np.array(1, np.float32),
        )

    def _objects(
        self, index: int, own: Size, resized: Size, view: View, size: Size
    ) -> dict[str, np.ndarray]:
        """Return the arrays of the objects in a view."""
        slots = self.data.max_objects
        objects = visible_objects(
            self.images.objects(index, masks=self.masks),
            size=own,
            resized=resized,
            view=view,
            limit=slots,
            masks=self.masks,
        )
        count = len(objects.classes)
        arrays = _empty_objects(slots)
        arrays["box"][:count] = objects.boxes
        arrays["object"][:count] = True
        arrays["label"][:count] = objects.classes
        if self.masks:
            arrays["masks"] = pack_masks(
                objects.masks, view=view, slots=slots, size=size
            )
        return arrays

    def _blank(self, size: Size) -> DetectionTrainingBatch:
        slots = self.data.max_objects
        arrays = _empty_objects(slots)
        if self.masks:
            view = whole_view(size)
            arrays["masks"] = pack_masks([], view=view, slots=slots, size=size)
        return DetectionTrainingBatch(
            image=np.zeros((*size, 3), np.uint8),
            image_size=np.array(size, np.int32),
            padded_size=np.array(size, np.int32),
            **arrays,
            weight=np.array(0, np.float32),
        )


def _empty_objects(slots: int) -> dict[str, np.ndarray]:
    return {
        "box": np.zeros((slots, 4), np.float32),
        "object": np.zeros(slots, bool),
        "label": np.zeros(slots, np.int32),
    }
