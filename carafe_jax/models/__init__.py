"""Whole networks, a file each."""

from carafe_jax.models.classifier import Classifier as Classifier
from carafe_jax.models.conv_blocks import CARAFEConv as CARAFEConv
from carafe_jax.models.conv_blocks import ConvBlock as ConvBlock
from carafe_jax.models.conv_blocks import DeconvBlock as DeconvBlock
from carafe_jax.models.global_local import GlobalLocal as GlobalLocal
from carafe_jax.models.global_local import GlobalLocalCARAFE as GlobalLocalCARAFE
from carafe_jax.models.global_local import PartialGlobalLocal as PartialGlobalLocal
from carafe_jax.models.global_local import (
    PartialGlobalLocalCARAFE as PartialGlobalLocalCARAFE,
)
from carafe_jax.models.inpainting import Inpainting as Inpainting
from carafe_jax.models.lip_resnet import LIPBlock as LIPBlock
from carafe_jax.models.lip_resnet import LIPBottleneck as LIPBottleneck
from carafe_jax.models.patch_gan import PatchGAN as PatchGAN
from carafe_jax.models.patch_gan import SNPatchGAN as SNPatchGAN
from carafe_jax.models.patch_gan import instance_norm as instance_norm
from carafe_jax.models.resnet import ResNet as ResNet
from carafe_jax.models.resnet import ResNet18 as ResNet18
from carafe_jax.models.resnet import ResNet34 as ResNet34
from carafe_jax.models.resnet import ResNet50 as ResNet50
from carafe_jax.models.resnet import ResNet101 as ResNet101
from carafe_jax.models.resnet import ResNet152 as ResNet152
from carafe_jax.models.resnet import Stages as Stages
from carafe_jax.models.unet import UNet as UNet
