"""A network that compiles fast: ResNet-18 with half of its blocks."""

import functools

from carafe_jax.models import ResNet18

RESNET = functools.partial(ResNet18, stage_sizes=(1, 1, 1, 1))
