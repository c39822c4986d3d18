"""Two-stage detectors, their parts and settings."""

from carafe_jax.models.detection.box_head import BoxHead as BoxHead
from carafe_jax.models.detection.box_head import BoxOutputs as BoxOutputs
from carafe_jax.models.detection.config import DetectorConfig as DetectorConfig
from carafe_jax.models.detection.detections import BoxPredictions as BoxPredictions
from carafe_jax.models.detection.detections import Detections as Detections
from carafe_jax.models.detection.detections import detect as detect
from carafe_jax.models.detection.faster_rcnn import FasterRCNN as FasterRCNN
from carafe_jax.models.detection.fpn import FPN as FPN
from carafe_jax.models.detection.mask_head import MaskHead as MaskHead
from carafe_jax.models.detection.mask_rcnn import (
    InstanceDetections as InstanceDetections,
)
from carafe_jax.models.detection.mask_rcnn import MaskRCNN as MaskRCNN
from carafe_jax.models.detection.presets import (
    MMDETECTION_CONFIGS as MMDETECTION_CONFIGS,
)
from carafe_jax.models.detection.presets import MMDetectionName as MMDetectionName
from carafe_jax.models.detection.proposals import Proposals as Proposals
from carafe_jax.models.detection.proposals import propose as propose
from carafe_jax.models.detection.rpn import RPNHead as RPNHead
from carafe_jax.models.detection.rpn import RPNOutputs as RPNOutputs
from carafe_jax.models.detection.settings import AnchorSettings as AnchorSettings
from carafe_jax.models.detection.settings import DetectionSettings as DetectionSettings
from carafe_jax.models.detection.settings import ProposalSettings as ProposalSettings
from carafe_jax.models.detection.settings import RoISettings as RoISettings
from carafe_jax.models.detection.two_stage import TwoStageDetector as TwoStageDetector
from carafe_jax.models.resampler_choices import Upsampler as Upsampler

__all__ = [
    "FPN",
    "MMDETECTION_CONFIGS",
    "AnchorSettings",
    "BoxHead",
    "BoxOutputs",
    "BoxPredictions",
    "DetectionSettings",
    "Detections",
    "DetectorConfig",
    "FasterRCNN",
    "InstanceDetections",
    "MMDetectionName",
    "MaskHead",
    "MaskRCNN",
    "ProposalSettings",
    "Proposals",
    "RPNHead",
    "RPNOutputs",
    "RoISettings",
    "TwoStageDetector",
    "Upsampler",
    "detect",
    "propose",
]
