"""The bottleneck block of LIP's ResNet."""

import fractions
import functools

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet_layers import Layers, refuse_spatial_conv
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, make_norm
from carafe_jax.nn.resamplers.base import cast
from carafe_jax.nn.resamplers.lip import LIPHead, LIPTrunk
from carafe_jax.ops import Scale, parse_scale

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


# Our own errors for wrong fields and features are clearer.
@no_type_check
class LIPBottleneck(nn.Module):
    """Bottleneck block that down-samples by local importance-based pooling.

    The layers are placed as by the authors of LIP (Gao et al., arXiv:1908.04156). If
    the block changes the size, a `LIPTrunk` receives its input. One `LIPHead` pools the
    output of the first convolution, and a 1x1 convolution replaces the 3x3 one; another
    pools the input before the shortcut's convolution. At scale 1 it is the block of
    ResNet. The scale of the last norm starts at zero, so that a block starts as its
    shortcut.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import LIPBottleneck
      >>> block = LIPBottleneck(features=4, trunk_features=8)
      >>> features = jnp.ones((1, 9, 6, 16))
      >>> variables = block.init(jax.random.key(0), features)
      >>> block.apply(variables, features).shape
      (1, 5, 3, 16)

    Attributes:
      features: Channels of the inner convolutions; the output has four times as many.
      scale: Output pixels per source pixel along each side, 1/n for a whole n
        (default: 1/2).
      trunk_features: Channels of the trunk (default: 128).
      norm: Factory of all norms but those of LIP (`carafe_jax.nn.factories`)
        (default: `BatchNorm`).
      dtype: The dtype of the computation and the result (default: the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
    """

    features: int
    scale: Scale = fractions.Fraction(1, 2)
    trunk_features: int = 128
    norm: LayerFactory = BatchNorm
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Apply the block.

        Args:
          features: Feature map, floating.
          train: Whether `norm` uses the statistics of this batch.

        Returns:
          Feature map of `4 * self.features` channels.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        features = cast(self, features)
        dtypes = dtypes_of(self, features)
        conv = functools.partial(Conv, use_bias=False, kernel_init=_he_normal, **dtypes)
        norm = functools.partial(make_norm, self.norm, train=train, **dtypes)
        keeps_size = parse_scale(self.scale) == 1
        x = conv(self.features, (1, 1), name="conv1")(features)
        x = nn.relu(norm(name="norm1")(x))
        shortcut = features
        if keeps_size:
            x = conv(self.features, (3, 3), padding=1, name="conv2")(x)
        else:
            x, shortcut = self._pool(x, shortcut)
            x = conv(self.features, (1, 1), name="conv2")(x)
        x = nn.relu(norm(name="norm2")(x))
        x = conv(4 * self.features, (1, 1), name="conv3")(x)
        x = norm(required={"scale_init": nn.initializers.zeros}, name="norm3")(x)
        if not keeps_size or shortcut.shape != x.shape:
            shortcut = conv(x.shape[-1], (1, 1), name="shortcut_conv")(shortcut)
            shortcut = norm(name="shortcut_norm")(shortcut)
        return nn.relu(x + shortcut)

    def _pool(
        self, x: Float[Array, "n h w f"], features: Float[Array, "n h w c"]
    ) -> tuple[Float[Array, "n sh sw f"], Float[Array, "n sh sw c"]]:
        """Pool the inner map and the shortcut, with logits from the block's input."""
        dtypes = dtypes_of(self, features)
        trunk = LIPTrunk(self.trunk_features, name="trunk", **dtypes)(features)
        head = functools.partial(LIPHead, scale=self.scale, **dtypes)
        return (
            head(name="pool")(x, trunk),
            head(name="shortcut_pool")(features, trunk),
        )


class LIPBlock(nn.Module):
    """`LIPBottleneck` as the block of a `ResNet`.

    `ResNet50(block=LIPBlock, downsample=LIPDownsample)` is the authors' network, with
    the simplified form in the stem and the bottleneck form in the blocks.

    Attributes:
      features: Channels of the inner convolutions; the output has four times as many.
      stride: Stride of the block, 2 to halve the map.
      layers: Layer factories of the network; the down-sampler is used in the stem only.
    """

    features: int
    stride: int
    layers: Layers

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], train: bool = False) -> Array:
        """Apply the block."""
        refuse_spatial_conv("LIPBlock", self.layers)
        bottleneck = LIPBottleneck(
            self.features,
            scale=fractions.Fraction(1, self.stride),
            norm=self.layers.norm,
            name="lip_bottleneck",
        )
        return bottleneck(x, train=train)
