"""Networks and their configurations."""

from carafe_jax.models.backbones import DeepStem as DeepStem
from carafe_jax.models.backbones import LIPBlock as LIPBlock
from carafe_jax.models.backbones import LIPBottleneck as LIPBottleneck
from carafe_jax.models.backbones import ResNet as ResNet
from carafe_jax.models.backbones import ResNet18 as ResNet18
from carafe_jax.models.backbones import ResNet34 as ResNet34
from carafe_jax.models.backbones import ResNet50 as ResNet50
from carafe_jax.models.backbones import ResNet101 as ResNet101
from carafe_jax.models.backbones import ResNet152 as ResNet152
from carafe_jax.models.backbones import Stages as Stages
from carafe_jax.models.backbones.choices import Depth as Depth
from carafe_jax.models.backbones.choices import Downsampler as Downsampler
from carafe_jax.models.classifier import Classifier as Classifier
from carafe_jax.models.classifier import ClassifierConfig as ClassifierConfig
from carafe_jax.models.detection import FPN as FPN
from carafe_jax.models.detection import BoxHead as BoxHead
from carafe_jax.models.detection import BoxOutputs as BoxOutputs
from carafe_jax.models.detection import MaskHead as MaskHead
from carafe_jax.models.detection import RPNHead as RPNHead
from carafe_jax.models.detection import RPNOutputs as RPNOutputs
from carafe_jax.models.inpainting import CARAFEConv as CARAFEConv
from carafe_jax.models.inpainting import ConvBlock as ConvBlock
from carafe_jax.models.inpainting import DeconvBlock as DeconvBlock
from carafe_jax.models.inpainting import GlobalLocal as GlobalLocal
from carafe_jax.models.inpainting import GlobalLocalCARAFE as GlobalLocalCARAFE
from carafe_jax.models.inpainting import GlobalLocalConfig as GlobalLocalConfig
from carafe_jax.models.inpainting import Inpainting as Inpainting
from carafe_jax.models.inpainting import PartialGlobalLocal as PartialGlobalLocal
from carafe_jax.models.inpainting import (
    PartialGlobalLocalCARAFE as PartialGlobalLocalCARAFE,
)
from carafe_jax.models.inpainting import PatchGAN as PatchGAN
from carafe_jax.models.inpainting import PatchGANConfig as PatchGANConfig
from carafe_jax.models.inpainting import ResampleConv as ResampleConv
from carafe_jax.models.inpainting import SNPatchGAN as SNPatchGAN
from carafe_jax.models.inpainting import UNet as UNet
from carafe_jax.models.inpainting import UNetConfig as UNetConfig
from carafe_jax.models.inpainting import instance_norm as instance_norm
from carafe_jax.models.inpainting import spline_fill as spline_fill
from carafe_jax.models.segmentation import ClassHead as ClassHead
from carafe_jax.models.segmentation import PointWiseAttention as PointWiseAttention
from carafe_jax.models.segmentation import PSANet as PSANet
from carafe_jax.models.segmentation import PSPNet as PSPNet
from carafe_jax.models.segmentation import PyramidPooling as PyramidPooling
from carafe_jax.models.segmentation import SegmentationOutputs as SegmentationOutputs
from carafe_jax.models.segmentation import SegmentationUNet as SegmentationUNet
from carafe_jax.models.segmentation import UNetBackbone as UNetBackbone
from carafe_jax.models.segmentation import UperNet as UperNet
from carafe_jax.models.unet import Resampler as Resampler

__all__ = [
    "FPN",
    "BoxHead",
    "BoxOutputs",
    "CARAFEConv",
    "ClassHead",
    "Classifier",
    "ClassifierConfig",
    "ConvBlock",
    "DeconvBlock",
    "DeepStem",
    "Depth",
    "Downsampler",
    "GlobalLocal",
    "GlobalLocalCARAFE",
    "GlobalLocalConfig",
    "Inpainting",
    "LIPBlock",
    "LIPBottleneck",
    "MaskHead",
    "PSANet",
    "PSPNet",
    "PartialGlobalLocal",
    "PartialGlobalLocalCARAFE",
    "PatchGAN",
    "PatchGANConfig",
    "PointWiseAttention",
    "PyramidPooling",
    "RPNHead",
    "RPNOutputs",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "ResampleConv",
    "Resampler",
    "SNPatchGAN",
    "SegmentationOutputs",
    "SegmentationUNet",
    "Stages",
    "UNet",
    "UNetBackbone",
    "UNetConfig",
    "UperNet",
    "instance_norm",
    "spline_fill",
]
