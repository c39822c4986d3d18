"""Fields of segmentation data."""

import dataclasses
from typing import Literal

from carafe_jax.arguments import (
    check,
    check_choices,
    check_count,
    check_ints,
    check_label_values,
    check_multiples,
    check_range,
    check_up_to,
)
from carafe_jax.data import TestSplit
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.data_fields import check_image_data, source_field
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.segmentation.resizing import resized_size
from carafe_jax.train import unstored_field

SIZE_DIVISOR = 32
"""Number whose multiples are the sides of resized images: the stride of C5."""
_CROP_SCALES = (0.5, 2.0)


# Our own errors for wrong fields are clearer.
@no_type_check
@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationData:
    """Source, sizes and augmentation of images with label maps."""

    source: str
    """Source of the photographs: the path of a folder with `SPLIT/images/NAME.jpg`,
    `SPLIT/labels/NAME.png` and `classes.txt` (splits `train`, `val` and `test`), of
    ADE20K or of Cityscapes; or "tfds:NAME"."""
    classes_file: str | None = source_field(None)
    """File with the index, the name and the colour of each class in a line, such as
    "3 Road 128 64 128". None: the list of the source."""
    ignored_labels: tuple[int, ...] = source_field(())
    """Values of label maps that are ignored, beside 255 and those of classes named
    void, unlabelled, unlabeled, ignore or ignored."""
    image_feature: str = source_field("image")
    """Feature of the photographs in a data set of TFDS."""
    label_feature: str = source_field("segmentation_mask")
    """Feature of the label maps in a data set of TFDS."""
    batch_size: int = 16
    """Images per step, over all processes together."""
    short_sides: tuple[int, ...] = (300, 375, 450, 525, 600)
    """Limits of the short side of training photographs, in pixels. One of them is drawn
    for each batch."""
    test_short_side: int = 450
    """Limit of the short side of test photographs, in pixels."""
    long_side: int = 1200
    """Limit of the long side. Photographs are resized to the largest size within both
    limits; test photographs then to the next multiples of 32, which changes their
    aspect ratio a little."""
    buckets: int = 8
    """Largest number of groups of training photographs of similar aspect ratio, which
    share batches. More need less padding and more compilations: one for each group and
    short side."""
    crop_size: tuple[int, int] | None = None
    """Height and width of random crops to train on, in pixels, multiples of 32. None:
    whole photographs, resized to `short_sides`."""
    crop_scales: tuple[float, float] = _CROP_SCALES
    """Smallest and largest scale of photographs before they are cropped, which is drawn
    uniformly. Scales around that of test photographs, which `test_short_side` limits,
    show objects at the sizes of the test. Smaller photographs than the crop are
    padded."""
    flips: Literal["none", "horizontal", "both"] = "horizontal"
    """Directions in which training images are flipped, each with probability 1/2;
    "both": horizontal and vertical."""
    rotation: float = 0.0
    """Largest angle of random rotations of training images, in degrees, in [0, 180].
    Each image is rotated about its centre with probability 1/2; corners without a pixel
    have the mean colour, and are ignored. semseg's code has 10."""
    blur: Literal["none", "gaussian"] = "none"
    """Blur of training images, each with probability 1/2; "gaussian": a filter of 5x5
    pixels, as in semseg's code."""
    seed: int = 0
    """Seed of the order and augmentation of training, in [0, 2**32)."""
    test_split: TestSplit | None = None
    """Split to evaluate on. None: the first of val, validation and test that the source
    has."""
    test_fraction: float = 0.1
    """Fraction of the photographs that is held out for testing, in (0, 1), if the
    source has training photographs alone."""
    unreadable_limit: int = unstored_field(100)
    """Number of unreadable photographs and label maps allowed in each split and each
    process that reads."""
    worker_processes: int = unstored_field(0)
    """Worker processes that load batches. 0: threads of the main process load them."""
    read_threads: int = unstored_field(16)
    """Threads that load images ahead, in each process. 0: images are loaded on
    demand."""
    prefetch_batches: int = unstored_field(2)
    """Batches to prefetch, in each process."""

    def __post_init__(self) -> None:
        check_image_data(self)
        check_choices(self)
        check_ints("short_sides", self.short_sides)
        check_count("test_short_side", self.test_short_side)
        check_count("long_side", self.long_side)
        largest = max(*self.short_sides, self.test_short_side)
        rule = f"be at least the largest short side, {largest}"
        check("long_side", self.long_side, rule, holds=self.long_side >= largest)
        check_count("buckets", self.buckets)
        check_multiples("crop_size", self.crop_size, SIZE_DIVISOR)
        check_range("crop_scales", self.crop_scales)
        rule = "have positive numbers"
        check("crop_scales", self.crop_scales, rule, holds=self.crop_scales[0] > 0)
        rule = f"be {_CROP_SCALES}, its default, without `crop_size`"
        holds = self.crop_size is not None or self.crop_scales == _CROP_SCALES
        check("crop_scales", self.crop_scales, rule, holds=holds)
        check_up_to("rotation", self.rotation, 180)
        check_label_values("ignored_labels", self.ignored_labels)

    def training_sizes(self, size: Size) -> tuple[Size, ...]:
        """Return the sizes of a resized training photograph, by short side."""
        return tuple(
            resized_size(size, short_side=short_side, long_side=self.long_side)
            for short_side in self.short_sides
        )

    def test_size(
        self, size: Size, *, short_side: int | None = None, long_side: int | None = None
    ) -> Size:
        """Return the size of a resized test photograph.

        Args:
          size: Of the photograph.
          short_side: Limit of the short side. None: `test_short_side`.
          long_side: Limit of the long side. None: that of the data.
        """
        return resized_size(
            size,
            short_side=short_side or self.test_short_side,
            long_side=long_side or self.long_side,
        ).padded_to(SIZE_DIVISOR)
