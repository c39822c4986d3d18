"""Networks that classify each pixel of an image, and their parts."""

from carafe_jax.models.segmentation.class_head import ClassHead as ClassHead
from carafe_jax.models.segmentation.config import SegmenterConfig as SegmenterConfig
from carafe_jax.models.segmentation.network import (
    SegmentationNetwork as SegmentationNetwork,
)
from carafe_jax.models.segmentation.outputs import (
    SegmentationOutputs as SegmentationOutputs,
)
from carafe_jax.models.segmentation.point_wise_attention import (
    PointWiseAttention as PointWiseAttention,
)
from carafe_jax.models.segmentation.psanet import PSANet as PSANet
from carafe_jax.models.segmentation.pspnet import PSPNet as PSPNet
from carafe_jax.models.segmentation.pyramid_pooling import (
    PyramidPooling as PyramidPooling,
)
from carafe_jax.models.segmentation.unet import SegmentationUNet as SegmentationUNet
from carafe_jax.models.segmentation.unet import UNetBackbone as UNetBackbone
from carafe_jax.models.segmentation.upernet import UperNet as UperNet

__all__ = [
    "ClassHead",
    "PSANet",
    "PSPNet",
    "PointWiseAttention",
    "PyramidPooling",
    "SegmentationNetwork",
    "SegmentationOutputs",
    "SegmentationUNet",
    "SegmenterConfig",
    "UNetBackbone",
    "UperNet",
]
