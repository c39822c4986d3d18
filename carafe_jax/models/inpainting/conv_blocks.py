"""Blocks of inpainting networks: a convolution, a norm and an activation."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.nn.carafe import CARAFEDownsample
from carafe_jax.nn.dtypes import Dtypes
from carafe_jax.ops import Implementation

Initializer = Callable[..., Array]
Activation = Callable[[Array], Array]

# Keeps the spread of signals through layers with ReLU (He et al. 2015).
relu_init = nn.initializers.he_normal()
# The same, where a pixel sees a quarter of the taps of a window.
_deconv_init = nn.initializers.variance_scaling(8.0, "fan_in", "truncated_normal")


class ConvBlock(nn.Module):
    """Convolution, then a norm and an activation.

    Zero padding is alike on all sides: with an odd window, a map comes out with
    ceil(H / stride) rows.

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the window (default: 3).
      stride: Source pixels per output pixel along each side (default: 1).
      dilation: Source pixels between taps of the window (default: 1).
      norm: Makes the norm, called with `use_running_average`, `dtype`, `param_dtype`
        and `name`; the convolution then has no bias. None: no norm (default: None).
      activation: Applied last; None: nothing is (default: ReLU).
      weight_norm: Wraps the convolution, to normalise its kernel: `nn.SpectralNorm` or
        a partial of it, called with the convolution, `param_dtype` and `name`
        (default: None).
      kernel_init: Initializer of the kernel (default: He normal).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    norm: Callable[..., nn.Module] | None = None
    activation: Activation | None = nn.relu
    weight_norm: Callable[..., nn.Module] | None = None
    kernel_init: Initializer = relu_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Convolve a map, normalise and activate it."""
        pad = self.dilation * (self.kernel_size - 1) // 2
        conv = nn.Conv(
            self.features,
            (self.kernel_size, self.kernel_size),
            strides=self.stride,
            padding=((pad, pad), (pad, pad)),
            kernel_dilation=self.dilation,
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            dtype=self.dtype or features.dtype,
            param_dtype=self.param_dtype,
            name="conv",
        )
        if self.weight_norm is None:
            features = conv(features)
        else:
            wrapped = self.weight_norm(
                conv, param_dtype=self.param_dtype, name="weight_norm"
            )
            features = wrapped(features, update_stats=train)
        return _normalise_and_activate(self, features, train=train)


class DeconvBlock(nn.Module):
    """Transposed convolution that doubles a map, then a norm and an activation.

    Window 4, stride 2, padding 1, as in mmediting's Global&Local. So each output pixel
    sees 2x2 of the 4x4 taps.

    Attributes:
      features: Channels of the output.
      norm: As that of `ConvBlock` (default: None).
      activation: Applied last; None: nothing is (default: ReLU).
      kernel_init: Initializer of the kernel (default: He normal for 2x2 taps).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    norm: Callable[..., nn.Module] | None = None
    activation: Activation | None = nn.relu
    kernel_init: Initializer = _deconv_init
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Double a map, normalise and activate it."""
        features = nn.ConvTranspose(
            self.features,
            (4, 4),
            strides=(2, 2),
            padding=((2, 2), (2, 2)),  # Of the dilated map: kernel - 1 - padding.
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            dtype=self.dtype or features.dtype,
            param_dtype=self.param_dtype,
            name="deconv",
        )(features)
        return _normalise_and_activate(self, features, train=train)


class CARAFEConv(nn.Module):
    """CARAFE++ followed by a convolution without stride.

    Takes the place of a strided convolution and, with `reassembly=CARAFEUpsample`, of
    an up-sampler that changes the channels (arXiv:2012.04733, section 4.3).

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the convolution's kernel (default: 3).
      reassembly: Makes the CARAFE++ layer (default: `CARAFEDownsample`).
      norm: As that of `ConvBlock` (default: None).
      activation: Applied last; None: nothing is (default: None).
      kernel_init: Initializer of the convolution's kernel (default: LeCun normal).
      dtype: Dtype of the computation (default: that of the input).
      param_dtype: Dtype of the parameters (default: float32).
      implementation: Passed to the CARAFE++ layer where it is given (default: None).
    """

    features: int
    kernel_size: int = 3
    reassembly: Callable[..., nn.Module] = CARAFEDownsample
    norm: Callable[..., nn.Module] | None = None
    activation: Activation | None = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    implementation: Implementation | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n oh ow f"]:
        """Reassemble a map, convolve, normalise and activate it."""
        dtype = self.dtype or features.dtype
        dtypes = Dtypes(dtype=dtype, param_dtype=self.param_dtype)
        given = {"implementation": self.implementation} if self.implementation else {}
        layer = self.reassembly(name="carafe", **dtypes, **given)
        features = layer(features, train=train)
        pad = self.kernel_size // 2
        features = nn.Conv(
            self.features,
            (self.kernel_size, self.kernel_size),
            padding=((pad, pad), (pad, pad)),
            use_bias=self.norm is None,
            kernel_init=self.kernel_init,
            name="conv",
            **dtypes,
        )(features)
        return _normalise_and_activate(self, features, train=train)


def _normalise_and_activate(
    block: ConvBlock | DeconvBlock | CARAFEConv,
    features: Float[Array, "n h w f"],
    *,
    train: bool,
) -> Float[Array, "n h w f"]:
    if block.norm is not None:
        norm = block.norm(
            use_running_average=not train,
            dtype=features.dtype,
            param_dtype=block.param_dtype,
            name="norm",
        )
        features = norm(features)
    return features if block.activation is None else block.activation(features)
