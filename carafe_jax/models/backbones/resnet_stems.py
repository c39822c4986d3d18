"""The stems of ResNet, Res-1 in the paper (arXiv:2012.04733, section 4.1)."""

import jax
from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet_layers import Layers, downsample, norms
from carafe_jax.nn.factories import LayerFactory


# `ResNet` checks the fields of both classes, with clearer errors.
@no_type_check
class Stem(nn.Module):
    """Res-1: a 7x7 convolution with stride 2, then the stem's down-sampling.

    Attributes:
      features: Channels of the convolution.
      layers: Layer factories.
      pool: Factory of the last layer, which halves the map.
      frozen: Whether no gradient reaches the layers before `pool` (default: False).
    """

    features: int
    layers: Layers
    pool: LayerFactory
    frozen: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Return a map at a quarter of the image's size."""
        conv, norm = self.layers.conv, norms(self.layers.norm, train=train)
        x = conv(self.features, (7, 7), strides=2, padding=3, name="conv1")(x)
        x = nn.relu(norm(name="norm1")(x))
        x = jax.lax.stop_gradient(x) if self.frozen else x
        return downsample(self.layers, self.pool, x, "downsample", train=train)


@no_type_check
class DeepStem(nn.Module):
    """Res-1 of the segmentation baselines: three 3x3 convolutions, the first strided.

    The last one has twice the channels.

    Attributes:
      features: Channels of the first two convolutions.
      layers: Layer factories.
      pool: Factory of the last layer, which halves the map.
      frozen: Whether no gradient reaches the layers before `pool` (default: False).
    """

    features: int
    layers: Layers
    pool: LayerFactory
    frozen: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Return a map at a quarter of the image's size."""
        conv, norm = self.layers.conv, norms(self.layers.norm, train=train)
        widths = (self.features, self.features, 2 * self.features)
        for index, (width, stride) in enumerate(zip(widths, (2, 1, 1), strict=True), 1):
            x = conv(width, (3, 3), strides=stride, padding=1, name=f"conv{index}")(x)
            x = nn.relu(norm(name=f"norm{index}")(x))
        x = jax.lax.stop_gradient(x) if self.frozen else x
        return downsample(self.layers, self.pool, x, "downsample", train=train)
