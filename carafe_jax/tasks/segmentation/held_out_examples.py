"""Test examples of segmentation: resized photographs with their own label maps."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from carafe_jax.data import IGNORED_LABEL, SegmentedImages, UnreadableImages
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.padded_images import padded_image
from carafe_jax.tasks.segmentation.data_batches import SegmentationTestBatch
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.photographs import (
    prepare_photograph,
    read_photograph,
)
from carafe_jax.tasks.segmentation.views import Views


class HeldOutGroup(NamedTuple):
    """Test photographs that share batches."""

    sizes: tuple[Size, ...]
    """Sizes to which the photographs are resized."""
    label_size: Size
    """Padded size of their label maps."""
    indices: Int64[np.ndarray, "n"]
    """Photographs, in ascending order."""


@dataclasses.dataclass(frozen=True)
class HeldOutExamples:
    """Test photographs by index."""

    data: SegmentationData
    images: SegmentedImages
    unreadable: UnreadableImages
    views: Views
    groups: tuple[HeldOutGroup, ...]

    def read(self, index: int, group: int) -> SegmentationTestBatch | None:
        """Return the example of a photograph of a group, or None if unreadable."""
        return self.unreadable.read_or_none(index, self._example)

    def blank(self, group: int) -> SegmentationTestBatch:
        """Return an example that is not valid, of the sizes of a group."""
        sizes, label_size, _ = self.groups[group]
        return SegmentationTestBatch(
            images=tuple(np.zeros((*size, 3), np.uint8) for size in sizes),
            label=np.full(label_size, IGNORED_LABEL, np.uint8),
            label_size=np.array(label_size, np.int32),
            index=np.array(0, np.int32),
            valid=np.array(False),
        )

    def _example(self, index: int) -> SegmentationTestBatch:
        pixels, labels = read_photograph(self.images, index)
        label_size = padded_label_size(Size(*labels.shape))
        return SegmentationTestBatch(
            images=prepare_photograph(pixels, self.data, self.views),
            label=padded_image(labels, label_size, value=IGNORED_LABEL),
            label_size=np.array(labels.shape, np.int32),
            index=np.array(index, np.int32),
            valid=np.array(True),
        )


def padded_label_size(size: Size) -> Size:
    """Return the padded size of the label map of a test photograph.

    Each side is the next of 64, 96, 128, 192, 256, 384, ...: photographs of hundreds of
    sizes, as in ADE20K, have label maps of a few.
    """
    return Size(*(_padded_side(side) for side in size))


def make_test_groups(
    images: SegmentedImages, data: SegmentationData, views: Views
) -> tuple[HeldOutGroup, ...]:
    """Group all test photographs by the sizes of their images and label maps."""
    found: dict[tuple[tuple[Size, ...], Size], list[int]] = {}
    for index in range(len(images)):
        size = Size(*images.size(index))
        key = views.sizes(size, data), padded_label_size(size)
        found.setdefault(key, []).append(index)
    return tuple(
        HeldOutGroup(*key, np.array(indices, np.int64))
        for key, indices in sorted(found.items())
    )


def _padded_side(side: int) -> int:
    power = 64
    while power < side:
        if side <= power * 3 // 2:
            return power * 3 // 2
        power *= 2
    return power
