"""Whole networks, a file each."""

from carafe_jax.models.lip_resnet import LIPBottleneck as LIPBottleneck
from carafe_jax.models.unet import CARAFEConv as CARAFEConv
from carafe_jax.models.unet import Inpainting as Inpainting
from carafe_jax.models.unet import UNet as UNet
