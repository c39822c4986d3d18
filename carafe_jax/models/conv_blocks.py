"""Blocks of networks: convolution, norm and activation."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_odd_int, checked_features
from carafe_jax.nn.carafe import CARAFEDownsample
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.factories import (
    LayerFactory,
    call_layer,
    checked_switch,
    make_layer,
    make_norm,
    names,
)
from carafe_jax.nn.transposed_conv import TransposedConv
from carafe_jax.ops import Implementation

Initializer = Callable[..., Array]
Activation = Callable[[Array], Array]

# Preserves the variance of activations through layers with ReLU (He et al. 2015).
relu_init = nn.initializers.he_normal()
# The same for a window of which each output pixel uses a quarter of the taps.
_deconv_init = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


# Our own errors for wrong fields and features are clearer, below as well.
@no_type_check
class ConvBlock(nn.Module):
    """Convolution, then a norm and an activation.

    Zero padding is symmetric; with an odd window, the output has ceil(H / stride) rows.

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the window (default: 3).
      stride: Source pixels per output pixel along each side (default: 1).
      dilation: Distance between neighbouring taps in pixels (default: 1).
      norm: Factory of the norm (`carafe_jax.nn.factories`), with which the convolution
        has no bias. None: no norm (default: None).
      activation: Activation, applied last. None: no activation (default: ReLU).
      weight_norm: Factory of a wrapper that normalises the convolution's kernel:
        `nn.SpectralNorm` or a partial of it, called with the convolution, `param_dtype`
        and `name` (default: None).
      kernel_init: Initializer of the kernel (default: He normal).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    norm: LayerFactory | None = None
    activation: Activation | None = nn.relu
    weight_norm: LayerFactory | None = None
    kernel_init: Initializer = relu_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Apply the convolution, the norm and the activation."""
        features = checked_features(features)
        dtypes = dtypes_of(self, features)
        pad = self.dilation * (self.kernel_size - 1) // 2
        conv = Conv(
            self.features,
            (self.kernel_size, self.kernel_size),
            strides=self.stride,
            padding=((pad, pad), (pad, pad)),
            kernel_dilation=self.dilation,
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            name="conv",
            **dtypes,
        )
        if self.weight_norm is None:
            features = conv(features)
        else:
            wrapped = make_layer(
                "weight_norm",
                self.weight_norm,
                conv,
                name="weight_norm",
                param_dtype=self.param_dtype,
            )
            update = checked_switch("train", train)
            features = wrapped(features, update_stats=update)
        return _normalise_and_activate(self, features, train=train)


@no_type_check
class DeconvBlock(nn.Module):
    """Transposed convolution that doubles a map, then a norm and an activation.

    Window 4, stride 2, padding 1, as in mmediting's Global&Local, so that each output
    pixel uses 2x2 of the 4x4 taps.

    Attributes:
      features: Channels of the output.
      norm: Factory of the norm, as for `ConvBlock` (default: None).
      activation: Activation, applied last. None: no activation (default: ReLU).
      kernel_init: Initializer of the kernel (default: He normal for 2x2 taps).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    norm: LayerFactory | None = None
    activation: Activation | None = nn.relu
    kernel_init: Initializer = _deconv_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Apply the transposed convolution, the norm and the activation."""
        features = checked_features(features)
        features = TransposedConv(
            self.features,
            kernel_size=4,
            scale=2,
            before=2,  # Of the dilated map: kernel - 1 - padding.
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            name="deconv",
            **dtypes_of(self, features),
        )(features)
        return _normalise_and_activate(self, features, train=train)


@no_type_check
class ResampleConv(nn.Module):
    """A resampler, then a convolution without stride, a norm and an activation.

    It replaces a convolution that resamples and changes the number of channels, as
    CARAFE++ does in arXiv:2012.04733, section 4.3. No convolution follows a resampler
    with a field `features`, which changes the number of channels itself.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import ResampleConv
      >>> from carafe_jax.nn import MaxPoolDownsample
      >>> block = ResampleConv(features=8, resample=MaxPoolDownsample)
      >>> features = jnp.ones((1, 5, 8, 3))
      >>> block.init_with_output(jax.random.key(0), features)[0].shape
      (1, 3, 4, 8)

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the convolution's kernel (default: 3).
      resample: Factory of the resampler (`carafe_jax.nn.factories`), whose parameters
        have the name "resample" (default: `CARAFEDownsample`).
      norm: Factory of the norm, as for `ConvBlock` (default: None).
      activation: Activation, applied last. None: no activation (default: ReLU).
      kernel_init: Initializer of the convolution's kernel (default: He normal).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int = 3
    resample: LayerFactory = CARAFEDownsample
    norm: LayerFactory | None = None
    activation: Activation | None = nn.relu
    kernel_init: Initializer = relu_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Apply the resampler, the convolution, the norm and the activation."""
        features = checked_features(features)
        dtypes = dtypes_of(self, features)
        convolves = names(self.resample, "features")
        required = {"features": self.features} if convolves else {}
        resample = make_layer(
            "resample", self.resample, name="resample", required=required, **dtypes
        )
        features = call_layer("resample", self.resample, resample, features, train)
        if not convolves:
            features = _convolve(self, features, dtypes)
        return _normalise_and_activate(self, features, train=train)


@no_type_check
class CARAFEConv(nn.Module):
    """CARAFE++ followed by a convolution without stride.

    It replaces a strided convolution or, with `reassembly=CARAFEUpsample`, an
    up-sampler that changes the number of channels (arXiv:2012.04733, section 4.3).

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the convolution's kernel (default: 3).
      reassembly: Factory of the CARAFE++ layer (default: `CARAFEDownsample`).
      norm: Factory of the norm, as for `ConvBlock` (default: None).
      activation: Activation, applied last. None: no activation (default: None).
      kernel_init: Initializer of the convolution's kernel (default: LeCun normal).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
      implementation: Implementation of the reassembly, passed to the CARAFE++ layer
        unless None (default: None).
    """

    features: int
    kernel_size: int = 3
    reassembly: LayerFactory = CARAFEDownsample
    norm: LayerFactory | None = None
    activation: Activation | None = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: Implementation | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Apply CARAFE++, the convolution, the norm and the activation."""
        features = checked_features(features)
        dtypes = dtypes_of(self, features)
        given = {"implementation": self.implementation} if self.implementation else {}
        reassembly = make_layer(
            "reassembly", self.reassembly, name="carafe", required=given, **dtypes
        )
        features = call_layer(
            "reassembly", self.reassembly, reassembly, features, train
        )
        features = _convolve(self, features, dtypes)
        return _normalise_and_activate(self, features, train=train)


def _convolve(
    block: ResampleConv | CARAFEConv, features: Float[Array, "n h w c"], dtypes: Dtypes
) -> Float[Array, "n h w f"]:
    check_odd_int("kernel_size", block.kernel_size)
    pad = block.kernel_size // 2
    return Conv(
        block.features,
        (block.kernel_size, block.kernel_size),
        padding=((pad, pad), (pad, pad)),
        use_bias=block.norm is None,
        kernel_init=block.kernel_init,
        name="conv",
        **dtypes,
    )(features)


def _normalise_and_activate(
    block: ConvBlock | DeconvBlock | ResampleConv | CARAFEConv,
    features: Float[Array, "n h w f"],
    *,
    train: bool,
) -> Float[Array, "n h w f"]:
    if block.norm is not None:
        norm = make_norm(
            block.norm,
            train=train,
            dtype=features.dtype,
            param_dtype=block.param_dtype,
            name="norm",
        )
        features = norm(features)
    return features if block.activation is None else block.activation(features)
