"""Semantic segmentation."""

from carafe_jax.tasks.segmentation.config import SegmentationRun as SegmentationRun
from carafe_jax.tasks.segmentation.data import SegmentationData as SegmentationData
from carafe_jax.tasks.segmentation.data import (
    SegmentationDataset as SegmentationDataset,
)
from carafe_jax.tasks.segmentation.label_classes import LabelClasses as LabelClasses
from carafe_jax.tasks.segmentation.loading import load as load
from carafe_jax.tasks.segmentation.loss import SegmentationLosses as SegmentationLosses
from carafe_jax.tasks.segmentation.loss import (
    segmentation_losses as segmentation_losses,
)
from carafe_jax.tasks.segmentation.optimizer import (
    SegmentationOptimizer as SegmentationOptimizer,
)
from carafe_jax.tasks.segmentation.prediction import (
    PhotographLabels as PhotographLabels,
)
from carafe_jax.tasks.segmentation.prediction import (
    TrainedSegmenter as TrainedSegmenter,
)
from carafe_jax.tasks.segmentation.task import SegmentationTask as SegmentationTask
from carafe_jax.tasks.segmentation.training_settings import (
    SegmentationTraining as SegmentationTraining,
)
from carafe_jax.tasks.segmentation.views import Views as Views

__all__ = [
    "LabelClasses",
    "PhotographLabels",
    "SegmentationData",
    "SegmentationDataset",
    "SegmentationLosses",
    "SegmentationOptimizer",
    "SegmentationRun",
    "SegmentationTask",
    "SegmentationTraining",
    "TrainedSegmenter",
    "Views",
    "load",
    "segmentation_losses",
]
