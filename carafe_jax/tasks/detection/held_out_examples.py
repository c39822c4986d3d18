"""Test examples of detection: whole photographs, padded to the size of their batch."""

import dataclasses

import numpy as np

from carafe_jax.data import AnnotatedImages, UnreadableImages
from carafe_jax.tasks.detection.buckets import Bucket, make_buckets
from carafe_jax.tasks.detection.data_batches import DetectionTestBatch
from carafe_jax.tasks.detection.data_settings import DetectionData
from carafe_jax.tasks.detection.photographs import prepare_photograph, read_photograph
from carafe_jax.tasks.image_size import Size


@dataclasses.dataclass(frozen=True)
class HeldOutExamples:
    """Test photographs by index."""

    data: DetectionData
    images: AnnotatedImages
    unreadable: UnreadableImages
    buckets: tuple[Bucket, ...]

    def read(self, index: int, bucket: int) -> DetectionTestBatch | None:
        """Return the example of a photograph of a bucket, or None if unreadable."""
        return self.unreadable.read_or_none(index, self._example)

    def blank(self, bucket: int) -> DetectionTestBatch:
        """Return an example that is not valid, of the size of a bucket."""
        size = self.buckets[bucket].size
        return DetectionTestBatch(
            image=np.zeros((*size, 3), np.uint8),
            image_size=np.array(size, np.int32),
            scale_factor=np.ones(2, np.float32),
            index=np.array(0, np.int32),
            valid=np.array(False),
        )

    def _example(self, index: int) -> DetectionTestBatch:
        example = prepare_photograph(read_photograph(self.images, index), self.data)
        return {**example, "index": np.array(index, np.int32)}


def make_test_buckets(
    images: AnnotatedImages, data: DetectionData
) -> tuple[Bucket, ...]:
    """Group all test photographs by the size of their batches."""
    resized = [data.resized(Size(*images.size(i))) for i in range(len(images))]
    return make_buckets((i, x, data.test_size(x)) for i, x in enumerate(resized))
