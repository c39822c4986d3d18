"""Semantic segmentation."""

from carafe_jax.tasks.segmentation.data import SegmentationData as SegmentationData
from carafe_jax.tasks.segmentation.data import (
    SegmentationDataset as SegmentationDataset,
)

__all__ = ["SegmentationData", "SegmentationDataset"]
