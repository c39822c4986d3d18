"""Segmented images: photographs with label maps, in folders or in records."""

from carafe_jax.data.sources.segmentation.opening import (
    open_segmented_folder as open_segmented_folder,
)
from carafe_jax.data.sources.segmentation.records import (
    open_segmented_tfds as open_segmented_tfds,
)

__all__ = ["open_segmented_folder", "open_segmented_tfds"]
