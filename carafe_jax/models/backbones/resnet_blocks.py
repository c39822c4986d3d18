"""The blocks of ResNet: basic and bottleneck."""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet_layers import (
    Layers,
    downsample,
    norms,
    refuse_spatial_conv,
)


# `ResNet` checks the fields of both classes, with clearer errors.
@no_type_check
class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, the block of ResNet-18 and ResNet-34.

    Attributes:
      features: Channels of the output.
      stride: Stride of the block, 2 to halve the map.
      layers: Layer factories.
      dilations: Distances between neighbouring taps of both convolutions, in pixels
        (default: 1, 1).
    """

    expansion = 1

    features: int
    stride: int
    layers: Layers
    dilations: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Apply the block."""
        conv = self.layers.conv
        norm = norms(self.layers.norm, train=train)
        last = norms(self.layers.last_norm, train=train)
        refuse_spatial_conv("BasicBlock", self.layers)
        y, stride = _halved(self, x, "downsample", train=train)
        first, second = map(_window, self.dilations)
        y = conv(self.features, strides=stride, name="conv1", **first)(y)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(self.features, name="conv2", **second)(y)
        y = last(name="norm2")(y)
        return nn.relu(y + _shortcut(self, x, self.features, train=train))


@no_type_check
class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut, for ResNet-50 and deeper.

    The 3x3 convolution has the stride ("v1.5"), as in torchvision. A down-sampler is
    placed before it and before the shortcut's convolution, which then have no stride
    (figure 4 of CARAFE++).

    Attributes:
      features: Channels of the inner convolutions; the output has four times as many.
      stride: Stride of the block, 2 to halve the map.
      layers: Layer factories.
      dilations: Distance between neighbouring taps of the 3x3 convolution, in pixels;
        the second number is that of `BasicBlock` (default: 1, 1).
    """

    expansion = 4

    features: int
    stride: int
    layers: Layers
    dilations: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Apply the block."""
        conv = self.layers.conv
        norm = norms(self.layers.norm, train=train)
        last = norms(self.layers.last_norm, train=train)
        y = conv(self.features, (1, 1), name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y, stride = _halved(self, y, "downsample", train=train)
        spatial = self.layers.spatial_conv or conv
        window = _window(self.dilations[0])
        y = spatial(self.features, strides=stride, name="conv2", **window)(y)
        y = nn.relu(norm(name="norm2")(y))
        y = conv(4 * self.features, (1, 1), name="conv3")(y)
        y = last(name="norm3")(y)
        return nn.relu(y + _shortcut(self, x, 4 * self.features, train=train))


def _window(dilation: int) -> dict[str, Any]:
    """Return the arguments of a 3x3 convolution that keeps the size of its map."""
    window: dict[str, Any] = {"kernel_size": (3, 3), "padding": dilation}
    # Only where it is needed: not every convolution has it.
    return window if dilation == 1 else {**window, "kernel_dilation": dilation}


def _halved(
    block: BasicBlock | Bottleneck, x: Array, name: str, *, train: bool
) -> tuple[Array, int]:
    """Down-sample before a convolution; return the map and the convolution's stride."""
    if block.stride == 1 or block.layers.downsample is None:
        return x, block.stride
    return downsample(block.layers, block.layers.downsample, x, name, train=train), 1


def _shortcut(
    block: BasicBlock | Bottleneck, x: Array, features: int, *, train: bool
) -> Array:
    if block.stride == 1 and x.shape[-1] == features:
        return x
    x, stride = _halved(block, x, "shortcut_downsample", train=train)
    conv, norm = block.layers.conv, norms(block.layers.norm, train=train)
    x = conv(features, (1, 1), strides=stride, name="shortcut_conv")(x)
    return norm(name="shortcut_norm")(x)
