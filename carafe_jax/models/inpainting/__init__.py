"""Inpainting networks, their blocks and discriminators."""

from carafe_jax.models.conv_blocks import CARAFEConv as CARAFEConv
from carafe_jax.models.conv_blocks import ConvBlock as ConvBlock
from carafe_jax.models.conv_blocks import DeconvBlock as DeconvBlock
from carafe_jax.models.conv_blocks import ResampleConv as ResampleConv
from carafe_jax.models.inpainting.config import GlobalLocalConfig as GlobalLocalConfig
from carafe_jax.models.inpainting.config import PatchGANConfig as PatchGANConfig
from carafe_jax.models.inpainting.config import UNetConfig as UNetConfig
from carafe_jax.models.inpainting.global_local import GlobalLocal as GlobalLocal
from carafe_jax.models.inpainting.global_local import (
    GlobalLocalCARAFE as GlobalLocalCARAFE,
)
from carafe_jax.models.inpainting.global_local import (
    PartialGlobalLocal as PartialGlobalLocal,
)
from carafe_jax.models.inpainting.global_local import (
    PartialGlobalLocalCARAFE as PartialGlobalLocalCARAFE,
)
from carafe_jax.models.inpainting.output import Inpainting as Inpainting
from carafe_jax.models.inpainting.patch_gan import PatchGAN as PatchGAN
from carafe_jax.models.inpainting.patch_gan import SNPatchGAN as SNPatchGAN
from carafe_jax.models.inpainting.patch_gan import instance_norm as instance_norm
from carafe_jax.models.inpainting.spline_fill import spline_fill as spline_fill
from carafe_jax.models.inpainting.unet import UNet as UNet

__all__ = [
    "CARAFEConv",
    "ConvBlock",
    "DeconvBlock",
    "GlobalLocal",
    "GlobalLocalCARAFE",
    "GlobalLocalConfig",
    "Inpainting",
    "PartialGlobalLocal",
    "PartialGlobalLocalCARAFE",
    "PatchGAN",
    "PatchGANConfig",
    "ResampleConv",
    "SNPatchGAN",
    "UNet",
    "UNetConfig",
    "instance_norm",
    "spline_fill",
]
