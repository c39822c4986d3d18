"""Layers for feature maps with holes, by the rule of partial convolution."""

from carafe_jax.nn.partial.partial_block import PartialConvBlock as PartialConvBlock
from carafe_jax.nn.partial.partial_block import (
    PartialResampleConv as PartialResampleConv,
)
from carafe_jax.nn.partial.partial_carafe import PartialCARAFE as PartialCARAFE
from carafe_jax.nn.partial.partial_conv import PartialConv as PartialConv
from carafe_jax.nn.partial.partial_upsample import (
    PartialNearestUpsample as PartialNearestUpsample,
)

__all__ = [
    "PartialCARAFE",
    "PartialConv",
    "PartialConvBlock",
    "PartialNearestUpsample",
    "PartialResampleConv",
]
