"""Convolutional resamplers, baselines of CARAFE++ (tables III, IV and VI)."""

import fractions

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import check_int, check_odd_int
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.resamplers.base import (
    ResamplingLayer,
    cast,
    output_channels,
    stride_of,
    upsampled_size,
    whole_scale,
)
from carafe_jax.nn.resize import resize_bilinear, resize_nearest
from carafe_jax.nn.transposed_conv import TransposedConv
from carafe_jax.ops import Scale


@no_type_check
class ConvResampler(ResamplingLayer):
    """A resampler with a convolution, zero-padded symmetrically.

    Attributes:
      scale: Output pixels per source pixel along each side: an int, a
        `fractions.Fraction` or a string such as "3/2" (default: 2).
      features: Channels of the output (default: as many as the input has).
      kernel_size: Side of the convolution's window, odd (default: 3).
      use_bias: Whether the convolution has a bias (default: True).
      dtype: The dtype of the computation and the result (default: the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
      precision: Numerical precision of the products, see `jax.lax.Precision`
        (default: that of the platform).
      kernel_init: Initializer of the kernel (default: Xavier uniform).
      bias_init: Initializer of the bias (default: zeros).
    """

    scale: Scale = 2
    features: int | None = None
    kernel_size: int = 3
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.xavier_uniform()
    bias_init: Initializer = nn.initializers.zeros_init()


@no_type_check
class NearestConvUpsample(ConvResampler):
    """Nearest-neighbour up-sampling followed by a convolution.

    "N.C." of table IV of CARAFE++. The paper does not give the kernel size; 3x3 is our
    choice.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import NearestConvUpsample
      >>> layer = NearestConvUpsample(scale=2, features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 7, 3))
      ... )
      >>> out.shape
      (1, 10, 14, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'conv': {'bias': (8,), 'kernel': (3, 3, 3, 8)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1 (default: 2).
        The other fields are those of `ConvResampler`.
    """

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        features = cast(self, features)
        size = upsampled_size(features, self.scale)
        conv = _conv(self, output_channels(features, self.features), features.dtype)
        return conv(resize_nearest(features, size=size))


@no_type_check
class BilinearConvUpsample(ConvResampler):
    """Bilinear up-sampling followed by a convolution.

    "B.C." of table IV of CARAFE++. The paper does not give the kernel size; 3x3 is our
    choice.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import BilinearConvUpsample
      >>> layer = BilinearConvUpsample(scale="3/2", features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 4, 6, 3))
      ... )
      >>> out.shape
      (1, 6, 9, 8)

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1 (default: 2).
        The other fields are those of `ConvResampler`.
    """

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        features = cast(self, features)
        size = upsampled_size(features, self.scale)
        conv = _conv(self, output_channels(features, self.features), features.dtype)
        return conv(resize_bilinear(features, size=size))


@no_type_check
class PixelShuffleUpsample(ConvResampler):
    """Convolution to `scale**2` times the channels, then pixel shuffle.

    "P.S." of table IV and "Pixel Shuffle" of table VI of CARAFE++ (Shi et al.,
    arXiv:1609.05158). Channel `(f * scale + py) * scale + px` of the convolution
    becomes channel f of pixel (py, px) in each block: the output channel varies
    slowest, as in PyTorch and mmcv, whose weights fit once their axes are transposed.
    In TensorFlow's `depth_to_space` it varies fastest.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import PixelShuffleUpsample
      >>> layer = PixelShuffleUpsample(scale=2, features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 7, 3))
      ... )
      >>> out.shape
      (1, 10, 14, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'conv': {'bias': (32,), 'kernel': (3, 3, 3, 32)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, a whole number (default:
        2). The other fields are those of `ConvResampler`.
    """

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        features = cast(self, features)
        scale = whole_scale(self.scale)
        channels = output_channels(features, self.features) * scale**2
        conv = _conv(self, channels, features.dtype)
        return pixel_shuffle(conv(features), scale)


@no_type_check
class StridedConvDownsample(ConvResampler):
    """Strided convolution.

    "Conv" of table III of CARAFE++. The window is centred on the source pixel, with
    symmetric zero padding, as in PyTorch's ResNet; with the padding "SAME" of JAX,
    windows are shifted by one pixel on maps of even size.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import StridedConvDownsample
      >>> layer = StridedConvDownsample(scale="1/2", features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 8, 3))
      ... )
      >>> out.shape
      (1, 3, 4, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'conv': {'bias': (8,), 'kernel': (3, 3, 3, 8)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2). The other fields
        are those of `ConvResampler`.
    """

    scale: Scale = fractions.Fraction(1, 2)

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        features = cast(self, features)
        stride = stride_of(self.scale)
        channels = output_channels(features, self.features)
        return _conv(self, channels, features.dtype, stride)(features)


@no_type_check
class DeconvUpsample(ConvResampler):
    """Transposed convolution whose output is exactly `scale` times its input.

    "Deconv" of tables IV and VI of CARAFE++. The default is that of mmdetection's
    FPN_CARAFE (window 3, padding 1, output padding 1); `kernel_size=2` is that of its
    mask head (no padding), there followed by a ReLU that is not part of this layer.

    Padding has PyTorch's meaning: `padding` rows and columns are cropped from each side
    of the full transposed convolution, then the output padding, always
    `scale + 2 * padding - kernel_size` of them, is added back at the end. The kernel
    (k, k, c, f) is PyTorch's weight (c, f, k, k), transposed and spatially flipped.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import DeconvUpsample
      >>> layer = DeconvUpsample(scale=2, features=8, kernel_size=2)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 7, 3))
      ... )
      >>> out.shape
      (1, 10, 14, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'deconv': {'bias': (8,), 'kernel': (2, 2, 3, 8)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, a whole number (default:
        2).
      kernel_size: Side of the window, even or odd (default: 3).
      padding: Rows and columns cropped from each side (default: the least that makes
        the output no larger than `scale` times the input). The other fields are those
        of `ConvResampler`.
    """

    padding: int | None = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        features = cast(self, features)
        scale = whole_scale(self.scale)
        check_int("kernel_size", self.kernel_size)
        deconv = TransposedConv(
            output_channels(features, self.features),
            kernel_size=self.kernel_size,
            scale=scale,
            before=_zeros_before(self.kernel_size, self.padding, scale),
            use_bias=self.use_bias,
            dtype=features.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="deconv",
        )
        return deconv(features)


def _conv(
    layer: ConvResampler, channels: int, dtype: Dtype, stride: int = 1
) -> nn.Conv:
    """Return the convolution with the fields of a layer."""
    check_odd_int("kernel_size", layer.kernel_size)
    return Conv(
        channels,
        (layer.kernel_size, layer.kernel_size),
        strides=stride,
        padding=layer.kernel_size // 2,
        use_bias=layer.use_bias,
        dtype=dtype,
        param_dtype=layer.param_dtype,
        precision=layer.precision,
        kernel_init=layer.kernel_init,
        bias_init=layer.bias_init,
        name="conv",
    )


def pixel_shuffle(
    features: Float[Array, "n h w c"], scale: int
) -> Float[Array, "n sh sw f"]:
    n, h, w, c = features.shape
    f = c // scale**2
    blocks = features.reshape(n, h, w, f, scale, scale)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, scale * h, scale * w, f)


def _zeros_before(kernel_size: int, padding: int | None, scale: int) -> int:
    """Return the rows of zeros before the dilated map; there are as many columns."""
    if padding is None:
        padding = max(0, (kernel_size - scale + 1) // 2)
    output_padding = scale + 2 * padding - kernel_size
    if not 0 <= output_padding < scale:
        raise RefusedError(
            "`padding` must leave an output padding, scale + 2 * padding - "
            f"kernel_size, of 0 to scale - 1, got {padding} with kernel_size "
            f"{kernel_size} and scale {scale}."
        )
    return kernel_size - 1 - padding
