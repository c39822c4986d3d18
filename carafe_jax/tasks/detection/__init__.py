"""Detection task: training of detectors."""

from carafe_jax.tasks.detection.batch import DetectionBatch as DetectionBatch
from carafe_jax.tasks.detection.batch import GroundTruth as GroundTruth
from carafe_jax.tasks.detection.loss import DetectionLosses as DetectionLosses
from carafe_jax.tasks.detection.loss import detection_losses as detection_losses
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
    "DetectionBatch",
    "DetectionLosses",
    "DetectionTraining",
    "GroundTruth",
    "MatchingSettings",
    "SamplingSettings",
    "detection_losses",
]
