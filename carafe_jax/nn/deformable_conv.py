"""Deformable convolution, version 2."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.arguments import check, check_ints, is_count
from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.ops import modulated_deformable_conv


# Our own errors for wrong fields and features are clearer.
@no_type_check
class DeformableConv(nn.Module):
    """Modulated deformable convolution, DCNv2 (Zhu et al., arXiv:1811.11168).

    A convolution, `offset_conv`, predicts two offsets and a modulation, a sigmoid, for
    each tap of each output pixel; `carafe_jax.ops.modulated_deformable_conv` samples
    and sums. The layer is mmcv's `DCNv2` without a bias; the fields that it shares with
    `nn.Conv` have the same names.

    The first two thirds of the channels of `offset_conv` are the offsets, (dy, dx) for
    each tap and each deform group, and the last third the logits of the modulation. The
    convolution starts at zero, with offsets of zero and a modulation of 0.5: the layer
    starts as a plain convolution times 0.5.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import DeformableConv
      >>> layer = DeformableConv(8, (3, 3), strides=2)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 9, 6, 4))
      ... )
      >>> out.shape
      (1, 5, 3, 8)
      >>> jax.tree.map(jnp.shape, variables["params"])["kernel"]
      (3, 3, 4, 8)

    Attributes:
      features: Channels of the output.
      kernel_size: Rows and columns of the window.
      strides: Source pixels per output pixel along each side (default: 1).
      padding: Rows and columns of zeros on each side (default: 1).
      kernel_dilation: Source pixels from one tap to the next (default: 1).
      feature_group_count: Groups of the convolution (default: 1).
      deform_groups: Groups of channels with offsets of their own (default: 1).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
      precision: Precision of `offset_conv`, as in `nn.Conv` (default: None).
      kernel_init: Initializer of the kernel (default: LeCun normal).
    """

    features: int
    kernel_size: Sequence[int]
    strides: int = 1
    padding: int = 1
    kernel_dilation: int = 1
    feature_group_count: int = 1
    deform_groups: int = 1
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Convolve a feature map.

        Args:
          features: Feature map, floating.
          train: Unused; layers have one call signature.

        Returns:
          The map, in `dtype` if that is given, else in the dtype of `features`.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        features = checked_features(features)
        _check_fields(self, features.shape[3])
        dtypes = dtypes_of(self, features)
        features = features.astype(dtypes["dtype"])
        window = tuple(self.kernel_size)
        places = self.deform_groups * window[0] * window[1]
        predicted = Conv(
            3 * places,
            window,
            strides=self.strides,
            padding=self.padding,
            kernel_dilation=self.kernel_dilation,
            kernel_init=nn.initializers.zeros,
            precision=self.precision,
            name="offset_conv",
            **dtypes,
        )(features)
        shape = (*window, features.shape[3] // self.feature_group_count, self.features)
        return modulated_deformable_conv(
            features,
            self.param("kernel", self.kernel_init, shape, dtypes["param_dtype"]),
            offsets=predicted[..., : 2 * places],
            modulation=nn.sigmoid(predicted[..., 2 * places :]),
            stride=self.strides,
            padding=self.padding,
            dilation=self.kernel_dilation,
            deform_groups=self.deform_groups,
        )


def _check_fields(layer: DeformableConv, channels: int) -> None:
    for name in ("features", "strides", "kernel_dilation", "deform_groups"):
        check_int(name, getattr(layer, name))
    check_ints("kernel_size", layer.kernel_size, length=2)
    groups = layer.feature_group_count
    holds = is_count(groups) and channels % groups == 0 and layer.features % groups == 0
    rule = f"divide the {channels} channels of the map and `features`"
    check("feature_group_count", groups, rule, holds=holds)
