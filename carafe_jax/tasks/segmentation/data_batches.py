"""Batches of segmentation as they leave the data: arrays of NumPy."""

from typing import TypedDict

import numpy as np
from jaxtyping import Bool, Int32, UInt8


class SegmentationTrainingBatch(TypedDict):
    """Images with their label maps, to train on; an example has no axis n."""

    image: UInt8[np.ndarray, "*n h w 3"]
    """RGB in [0, 255]; zeros in the padding at the bottom and right."""
    image_size: Int32[np.ndarray, "*n 2"]
    """(height, width) without the padding."""
    label: UInt8[np.ndarray, "*n h w"]
    """Index of the class at each pixel; 255 at ignored pixels, in the padding and
    everywhere in images that only fill an incomplete batch."""


class SegmentationTestBatch(TypedDict):
    """Images to segment; an example has no axis n."""

    images: tuple[UInt8[np.ndarray, "*n _ _ 3"], ...]
    """RGB in [0, 255], without padding; the photographs at each size of their views."""
    label: UInt8[np.ndarray, "*n lh lw"]
    """Index of the class at each pixel of the photograph, in its own size; 255 at
    ignored pixels, and in the padding at the bottom and right."""
    label_size: Int32[np.ndarray, "*n 2"]
    """(height, width) of the photograph."""
    index: Int32[np.ndarray, "*n"]
    """Index of the photograph in the test split."""
    valid: Bool[np.ndarray, "*n"]
    """False for unreadable photographs, and for the padding of the last batch of each
    size."""
