"""Parts of two-stage detectors: the feature pyramid and the heads."""

from carafe_jax.models.detection.box_head import BoxHead as BoxHead
from carafe_jax.models.detection.box_head import BoxOutputs as BoxOutputs
from carafe_jax.models.detection.fpn import FPN as FPN
from carafe_jax.models.detection.mask_head import MaskHead as MaskHead
from carafe_jax.models.detection.rpn import RPNHead as RPNHead
from carafe_jax.models.detection.rpn import RPNOutputs as RPNOutputs

__all__ = [
    "FPN",
    "BoxHead",
    "BoxOutputs",
    "MaskHead",
    "RPNHead",
    "RPNOutputs",
]
