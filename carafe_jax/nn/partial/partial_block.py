"""Network blocks for feature maps with holes: partial layers, norm and activation."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike

from carafe_jax.errors import no_type_check
from carafe_jax.nn._validity import checked_masked, zero_holes
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import (
    LayerFactory,
    call_layer,
    make_layer,
    make_norm,
)
from carafe_jax.nn.masked import Masked
from carafe_jax.nn.partial.partial_carafe import PartialCARAFE
from carafe_jax.nn.partial.partial_conv import PartialConv


# Our own errors for wrong fields and features are clearer, below as well.
@no_type_check
class PartialConvBlock(nn.Module):
    """Partial convolution, norm and activation.

    Holes that remain are set to zero after the norm and the activation. They enter the
    statistics of the norm as zeros, as in the networks of Liu et al.
    (arXiv:1804.07723).

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the window, odd (default: 3).
      stride: Source pixels per output pixel along each side (default: 1).
      dilation: Dilation of the convolution (default: 1).
      norm: Factory of the norm (`carafe_jax.nn.factories`), with which the convolution
        has no bias. None: no norm (default: None).
      activation: Activation, applied last. None: no activation (default: ReLU).
      dtype: Dtype of the computation (default: that of the features).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    norm: LayerFactory | None = None
    activation: Callable[[Array], Array] | None = nn.relu
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, masked: Masked, train: bool = False) -> Masked:
        """Apply the block; with `train`, `norm` uses the statistics of this batch."""
        return _convolve(
            self, masked, stride=self.stride, dilation=self.dilation, train=train
        )


@no_type_check
class PartialResampleConv(nn.Module):
    """A resampler of maps with holes, a partial convolution, norm and activation.

    With `PartialCARAFE` it replaces a strided `PartialConvBlock`, or an up-sampler that
    changes the number of channels (arXiv:2012.04733, section 4.3). Holes are handled as
    in `PartialConvBlock`.

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the convolution's window, odd (default: 3).
      resample: Factory of the resampler (`carafe_jax.nn.factories`): `PartialCARAFE`
        or `PartialNearestUpsample` (default: `PartialCARAFE`).
      norm: Factory of the norm, as for `PartialConvBlock` (default: None).
      activation: Activation, as for `PartialConvBlock` (default: ReLU).
      dtype: Dtype of the computation (default: that of the features).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int = 3
    resample: LayerFactory = PartialCARAFE
    norm: LayerFactory | None = None
    activation: Callable[[Array], Array] | None = nn.relu
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, masked: Masked, train: bool = False) -> Masked:
        """Apply the block; with `train`, norms use the statistics of this batch."""
        dtypes = dtypes_of(self, checked_masked(masked).features)
        resample = make_layer("resample", self.resample, name="resample", **dtypes)
        masked = call_layer("resample", self.resample, resample, masked, train)
        return _convolve(self, masked, train=train)


def _convolve(
    block: PartialConvBlock | PartialResampleConv,
    masked: Masked,
    *,
    train: bool,
    stride: int = 1,
    dilation: int = 1,
) -> Masked:
    dtypes = dtypes_of(block, checked_masked(masked).features)
    features, valid = PartialConv(
        block.features,
        block.kernel_size,
        stride=stride,
        dilation=dilation,
        use_bias=block.norm is None,
        name="conv",
        **dtypes,
    )(masked)
    if block.norm is not None:
        norm = make_norm(block.norm, train=train, name="norm", **dtypes)
        features = norm(features)
    if block.activation is not None:
        features = block.activation(features)
    return Masked(zero_holes(features, valid), valid)
