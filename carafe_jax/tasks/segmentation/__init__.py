"""Semantic segmentation."""

from carafe_jax.tasks.segmentation.config import SegmentationRun as SegmentationRun
from carafe_jax.tasks.segmentation.data import SegmentationData as SegmentationData
from carafe_jax.tasks.segmentation.data import (
    SegmentationDataset as SegmentationDataset,
)
from carafe_jax.tasks.segmentation.label_classes import LabelClasses as LabelClasses
from carafe_jax.tasks.segmentation.loss import SegmentationLosses as SegmentationLosses
from carafe_jax.tasks.segmentation.loss import (
    segmentation_losses as segmentation_losses,
)
from carafe_jax.tasks.segmentation.optimizer import (
    SegmentationOptimizer as SegmentationOptimizer,
)
from carafe_jax.tasks.segmentation.task import SegmentationTask as SegmentationTask

__all__ = [
    "LabelClasses",
    "SegmentationData",
    "SegmentationDataset",
    "SegmentationLosses",
    "SegmentationOptimizer",
    "SegmentationRun",
    "SegmentationTask",
    "segmentation_losses",
]
