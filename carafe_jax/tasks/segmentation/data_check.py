"""Check of segmented images: the pixels of their classes, sizes and findings."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from carafe_jax.data import (
    IGNORED_LABEL,
    Findings,
    SegmentedImages,
    Split,
    decode_image,
)
from carafe_jax.data.spread import spread
from carafe_jax.tasks.data_check import (
    ObjectCounts,
    Splits,
    SplitUse,
    open_existing,
)
from carafe_jax.tasks.image_size import Size
from carafe_jax.tasks.picture_sheet import fit
from carafe_jax.tasks.segmentation.buckets import group_by_aspect
from carafe_jax.tasks.segmentation.data_check_options import DataCheckOptions
from carafe_jax.tasks.segmentation.data_settings import SegmentationData
from carafe_jax.tasks.segmentation.photographs import open_split
from carafe_jax.tasks.segmentation.resizing import resize_labels
from carafe_jax.texts import counted, percent
from carafe_jax.viz import default_palette, draw_legend, overlay_label_map

_GAP = 6  # Pixels between the parts of a picture.


@dataclasses.dataclass(frozen=True)
class LabelMapSplit:
    """Segmented images of one split."""

    images: SegmentedImages
    data: SegmentationData
    """Data of a run."""
    split: Split
    use: SplitUse = SplitUse()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def findings(self) -> Findings:
        """What was dropped or kept while the split was opened."""
        return self.images.findings

    @property
    def sizes(self) -> Sequence[tuple[int, int]]:
        """Height and width of each image, by its header."""
        return [self.images.size(index) for index in range(len(self.images))]

    @property
    def padding(self) -> float | None:
        """Fraction of padding in training batches of the default sizes.

        None: test images are not padded.
        """
        if self.split == "test":
            return None
        return group_by_aspect(self.images, self.data)[1]

    def open(self, index: int) -> tuple[Image.Image, int | None]:
        """Open an image, and read its label map."""
        return self.images.open(index)[0], None

    def object_counts(self) -> ObjectCounts | None:
        """Return None: classes of pixels are not objects."""
        return None

    def label_counts(self, index: int) -> Int64[np.ndarray, "_"]:
        """Return the number of pixels of each class, and of ignored ones at the end."""
        counts = np.bincount(self.images.label_map(index).ravel(), minlength=256)
        return np.append(counts[: len(self.classes)], counts[IGNORED_LABEL])

    def examples(self, count: int) -> list[int]:
        """Return the indices of images that are spread evenly over the split."""
        return spread(len(self.images), count)

    def draw(self, index: int, *, height: int) -> tuple[Image.Image, str]:
        """Return an image, the same under its labels, and the names of its classes."""
        image, labels = self.images.open(index)
        with image:
            picture = fit(Image.fromarray(decode_image(image)), height)
        size = Size(picture.height, picture.width)
        palette = self.images.palette
        if palette is None:
            palette = default_palette(len(self.classes))
        pixels = np.asarray(picture)
        overlay = overlay_label_map(
            pixels, resize_labels(labels, size), palette=palette
        )
        # A legend is as high as a row of the sheet, also beside a low picture.
        legend = draw_legend(
            labels, classes=self.classes, palette=palette, height=height
        )
        present = len(np.setdiff1d(labels, IGNORED_LABEL))
        ignored = percent(float((labels == IGNORED_LABEL).mean()), digits=1)
        name = self.images.name(index).split("/")[-1]
        caption = f"{name}: {counted(present, 'class', 'classes')}, {ignored} ignored"
        return Image.fromarray(_side_by_side([pixels, overlay, legend])), caption


def _side_by_side(
    pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return pictures from left to right, on white."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] + _GAP for picture in pictures) - _GAP
    row = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for picture in pictures:
        rows, columns, _ = picture.shape
        row[:rows, left : left + columns] = picture
        left += columns + _GAP
    return row


def open_splits(
    source: str, *, test_fraction: float, options: DataCheckOptions
) -> Splits[LabelMapSplit]:
    """Open the splits of a source of segmented images."""
    data = options.data(source, test_fraction=test_fraction)
    classes: tuple[str, ...] | None = None

    def open_checked(split: Split) -> LabelMapSplit:
        nonlocal classes  # Those of training are those of the test.
        images = open_split(data, split, classes=classes)
        classes = images.classes
        return LabelMapSplit(images, data, split)

    return open_existing(open_checked)
