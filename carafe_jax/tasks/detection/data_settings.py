"""Fields of detection data."""

import dataclasses
import math
from typing import Literal

from carafe_jax.arguments import check, check_choices, check_count
from carafe_jax.data import TestSplit
from carafe_jax.tasks.data_fields import check_image_data
from carafe_jax.tasks.detection.buckets import bucket_size, bucket_sizes
from carafe_jax.tasks.detection.resizing import SIZE_DIVISOR, resized_size
from carafe_jax.tasks.image_size import Size
from carafe_jax.train import unstored_field


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectionData:
    """Source, sizes and augmentation of images with objects."""

    source: str
    """Source of the photographs: the path of a folder in COCO's form, with the pictures
    in `SPLIT/` and `annotations/instances_SPLIT.json` (splits `train` and `val`); or
    "tfds:NAME", which has boxes alone, for Faster R-CNN."""
    batch_size: int = 16
    """Images per step, over all processes together."""
    short_side: int = 800
    """Limit of the short side of resized photographs, in pixels."""
    long_side: int = 1333
    """Limit of the long side. Photographs are resized to the largest size within both
    limits."""
    largest_scale: float | None = None
    """Limit of the scale at which photographs are resized; 1 never enlarges them. None:
    there is none, as in mmdetection."""
    crop_size: int | None = None
    """Side of random square crops of the resized training photographs, in pixels, a
    multiple of 64. None: whole photographs."""
    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """Directions in which training images are flipped, each with probability 1/2;
    "both": horizontal and vertical."""
    turns: Literal["none", "all"] = "none"
    """Rotation of training images. "all": by multiples of 90 degrees."""
    bucket_aspects: tuple[float, ...] = ()
    """Aspect ratios, long side over short side, for which batches have a size of their
    own; `long_side` has one in any case. A photograph is padded to the smallest size
    that holds it. Landscape and portrait photographs are never mixed, so that each
    size costs two compilations. For COCO, 1.333 and 1.5 save padding."""
    test_padding: Literal["bucket", "exact"] = "bucket"
    """Size of test images. "bucket": that of their bucket. "exact": the next multiples
    of 64 pixels, which costs a compilation for each size."""
    max_objects: int = 100
    """Largest number of objects in a training image. With `crop_size` as well, no whole
    photograph may have more, although its crops may show fewer."""
    truncate_objects: bool = False
    """Whether to drop the smallest objects of training images that have more than
    `max_objects`; of a crop, only those that it shows are counted. False: it is an
    error if there are such photographs."""
    seed: int = 0
    """Seed of the order and augmentation of training, in [0, 2**32)."""
    test_split: TestSplit | None = None
    """Split to evaluate on. None: the first of val, validation and test that the source
    has."""
    test_fraction: float = 0.1
    """Fraction of the photographs that is held out for testing, in (0, 1), if the
    source has annotations of training photographs alone."""
    unreadable_limit: int = unstored_field(100)
    """Number of unreadable photographs allowed in each split and each process that
    reads."""
    worker_processes: int = unstored_field(0)
    """Worker processes that load batches. 0: threads of the main process load them."""
    read_threads: int = unstored_field(16)
    """Threads that load images ahead, in each process. 0: images are loaded on
    demand."""
    prefetch_batches: int = unstored_field(2)
    """Batches to prefetch, in each process. At the default sizes with masks, an image
    takes 17 MB."""

    def __post_init__(self) -> None:
        check_image_data(self)
        check_choices(self)
        check_count("short_side", self.short_side)
        rule = f"be at least `short_side`, {self.short_side}"
        holds = self.long_side >= self.short_side
        check("long_side", self.long_side, rule, holds=holds)
        scale = self.largest_scale
        holds = scale is None or 0 < scale < math.inf
        check("largest_scale", scale, "be positive or None", holds=holds)
        crop = self.crop_size
        rule = f"be a positive multiple of {SIZE_DIVISOR} or None"
        holds = crop is None or (crop > 0 and crop % SIZE_DIVISOR == 0)
        check("crop_size", crop, rule, holds=holds)
        rule = "have numbers of at least 1"
        holds = all(1 <= aspect < math.inf for aspect in self.bucket_aspects)
        check("bucket_aspects", self.bucket_aspects, rule, holds=holds)
        check_count("max_objects", self.max_objects)

    @property
    def bucket_sizes(self) -> tuple[Size, ...]:
        """Padded sizes of landscape images, the smallest first."""
        return bucket_sizes(
            short_side=self.short_side,
            long_side=self.long_side,
            aspects=self.bucket_aspects,
        )

    def resized(self, size: Size) -> Size:
        """Return the size of a photograph after resizing."""
        return resized_size(
            size,
            short_side=self.short_side,
            long_side=self.long_side,
            largest_scale=self.largest_scale,
        )

    def training_size(self, resized: Size) -> Size:
        """Return the padded size of a training image, before rotation."""
        if self.crop_size is not None:
            return Size(self.crop_size, self.crop_size)
        return bucket_size(resized, self.bucket_sizes)

    def test_size(self, resized: Size, *, divisor: int = SIZE_DIVISOR) -> Size:
        """Return the padded size of a test image.

        Args:
          resized: Its size without padding.
          divisor: Number whose multiples are the sides of an image that is padded
            alone ("exact").
        """
        if self.test_padding == "exact":
            return resized.padded_to(divisor)
        return bucket_size(resized, self.bucket_sizes)
