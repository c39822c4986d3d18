"""Classification of the pixels of a map."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.models.conv_blocks import ConvBlock
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, checked_switch
from carafe_jax.ops import wide_dtype


# Our own errors for wrong fields and features are clearer.
@no_type_check
class ClassHead(nn.Module):
    """A 3x3 convolution with norm and ReLU, dropout, and a 1x1 convolution.

    It ends UperNet, PSPNet and PSANet, and is the auxiliary head of the last two (FCN,
    Long et al. 2015).

    Attributes:
      classes: Number of classes.
      features: Channels after the 3x3 convolution (default: 512).
      dropout: Probability with which a channel is dropped in training, for a whole
        example; needs the random stream "dropout" (default: 0).
      norm: Factory of the norm (`carafe_jax.nn.factories`) (default: `BatchNorm`).
      dtype: Dtype of the features (default: that of the map).
      param_dtype: Dtype of the parameters (default: float32).
    """

    classes: int
    features: int = 512
    dropout: float = 0.0
    norm: LayerFactory = BatchNorm
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n h w k"]:
        """Return the logits of the classes, in float32 or wider.

        Args:
          features: Feature map, floating.
          train: Whether the norm uses the statistics of this batch, and channels are
            dropped.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        check_int("classes", self.classes)
        check_int("features", self.features)
        holds = 0 <= self.dropout < 1
        check("dropout", self.dropout, "be at least 0 and below 1", holds=holds)
        features = checked_features(features)
        dtypes = dtypes_of(self, features)
        block = ConvBlock(
            self.features, kernel_size=3, norm=self.norm, name="block", **dtypes
        )
        x: Array = block(features, train)
        drop: Any = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
        x = drop(x, deterministic=not checked_switch("train", train))
        return Conv(
            self.classes,
            (1, 1),
            kernel_init=nn.initializers.he_normal(),
            name="classifier",
            dtype=wide_dtype(x.dtype),
            param_dtype=self.param_dtype,
        )(x)
