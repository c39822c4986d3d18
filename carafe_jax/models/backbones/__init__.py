"""Backbones, which return the feature maps of an image at several stages."""

from carafe_jax.models.backbones.lip_resnet import LIPBlock as LIPBlock
from carafe_jax.models.backbones.lip_resnet import LIPBottleneck as LIPBottleneck
from carafe_jax.models.backbones.resnet import ResNet as ResNet
from carafe_jax.models.backbones.resnet import ResNet18 as ResNet18
from carafe_jax.models.backbones.resnet import ResNet34 as ResNet34
from carafe_jax.models.backbones.resnet import ResNet50 as ResNet50
from carafe_jax.models.backbones.resnet import ResNet101 as ResNet101
from carafe_jax.models.backbones.resnet import ResNet152 as ResNet152
from carafe_jax.models.backbones.resnet import Stages as Stages
from carafe_jax.models.backbones.resnet_blocks import BasicBlock as BasicBlock
from carafe_jax.models.backbones.resnet_blocks import Bottleneck as Bottleneck
from carafe_jax.models.backbones.resnet_stems import DeepStem as DeepStem
from carafe_jax.models.backbones.resnet_stems import Stem as Stem

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "DeepStem",
    "LIPBlock",
    "LIPBottleneck",
    "ResNet",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "Stages",
    "Stem",
]
