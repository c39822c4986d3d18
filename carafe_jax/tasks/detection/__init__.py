"""Object detection and instance segmentation."""

from carafe_jax.tasks.detection.batch import DetectionBatch as DetectionBatch
from carafe_jax.tasks.detection.batch import GroundTruth as GroundTruth
from carafe_jax.tasks.detection.categories import Categories as Categories
from carafe_jax.tasks.detection.config import DetectionRun as DetectionRun
from carafe_jax.tasks.detection.data import DetectionData as DetectionData
from carafe_jax.tasks.detection.loading import load as load
from carafe_jax.tasks.detection.loading import load_mmdetection as load_mmdetection
from carafe_jax.tasks.detection.loss import DetectionLosses as DetectionLosses
from carafe_jax.tasks.detection.loss import detection_losses as detection_losses
from carafe_jax.tasks.detection.optimizer import (
    DetectionOptimizer as DetectionOptimizer,
)
from carafe_jax.tasks.detection.prediction import (
    PhotographDetections as PhotographDetections,
)
from carafe_jax.tasks.detection.prediction import TrainedDetector as TrainedDetector
from carafe_jax.tasks.detection.task import DetectionTask as DetectionTask
from carafe_jax.tasks.detection.training_settings import (
    DetectionTraining as DetectionTraining,
)
from carafe_jax.tasks.detection.training_settings import (
    MatchingSettings as MatchingSettings,
)
from carafe_jax.tasks.detection.training_settings import (
    SamplingSettings as SamplingSettings,
)

__all__ = [
    "Categories",
    "DetectionBatch",
    "DetectionData",
    "DetectionLosses",
    "DetectionOptimizer",
    "DetectionRun",
    "DetectionTask",
    "DetectionTraining",
    "GroundTruth",
    "MatchingSettings",
    "PhotographDetections",
    "SamplingSettings",
    "TrainedDetector",
    "detection_losses",
    "load",
    "load_mmdetection",
]
