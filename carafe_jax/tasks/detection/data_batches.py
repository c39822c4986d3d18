"""Batches of detection as they leave the data: arrays of NumPy."""

from typing import NotRequired, TypedDict

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8


class DetectionTrainingBatch(TypedDict):
    """Images with their objects, to train on; an example has no axis n."""

    image: UInt8[np.ndarray, "*n h w 3"]
    """RGB in [0, 255]; zeros in the padding at the bottom and right."""
    image_size: Int32[np.ndarray, "*n 2"]
    """(height, width) without the padding."""
    padded_size: Int32[np.ndarray, "*n 2"]
    """(height, width) that the image alone would be padded to: multiples of 64."""
    box: Float32[np.ndarray, "*n g 4"]
    """x1, y1, x2, y2 in pixels of the image; zeros in the padding at the end."""
    object: Bool[np.ndarray, "*n g"]
    """Whether there is an object."""
    label: Int32[np.ndarray, "*n g"]
    """Index of the class."""
    masks: NotRequired[UInt8[np.ndarray, "*n g h w8"]]
    """Instance masks over the padded image, eight columns in a byte as `np.packbits`
    packs them. Detectors without masks receive none."""
    weight: Float32[np.ndarray, "*n"]
    """1; 0 for images that only fill an incomplete batch."""


class DetectionTestBatch(TypedDict):
    """Images to detect objects in; an example has no axis n."""

    image: UInt8[np.ndarray, "*n h w 3"]
    """RGB in [0, 255]; zeros in the padding at the bottom and right."""
    image_size: Int32[np.ndarray, "*n 2"]
    """(height, width) without the padding."""
    scale_factor: Float32[np.ndarray, "*n 2"]
    """Pixels of the image per pixel of the photograph, along width and height."""
    index: Int32[np.ndarray, "*n"]
    """Index of the photograph in the test split."""
    valid: Bool[np.ndarray, "*n"]
    """False for unreadable photographs, and for the padding of the last batch of each
    size."""
