"""Plain up-samplers, the baselines of CARAFE++ (tables IV and VI of its paper).

Every layer is called `layer(features, *, train=False)` on a map (n, h, w, c), takes
`scale` in output pixels per source pixel and returns `ceil(scale * h)` rows and
`ceil(scale * w)` columns, whatever the size of the map. A layer computes in its
input's dtype, and returns it, unless `dtype` is given.
"""

import fractions
import math

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import cast, check_kernel_size, output_channels
from carafe_jax.nn._convolution import (
    default_bias_init,
    default_kernel_init,
    zero_padded_conv,
)
from carafe_jax.nn.resize import resize_bilinear, resize_nearest
from carafe_jax.ops.reassembly import Scale, parse_scale


@no_type_check
class NearestUpsample(nn.Module):
    """Nearest-neighbour up-sampling.

    "Nearest" of tables IV and VI of CARAFE++. Output row i is source row
    `floor(i * h / ceil(scale * h))`; a whole scale repeats each pixel.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import NearestUpsample
      >>> NearestUpsample(scale=2).apply({}, jnp.ones((1, 5, 7, 3))).shape
      (1, 10, 14, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1: an int, a
        `fractions.Fraction` or a string such as "3/2" (default: 2).
      dtype: The dtype of the result (default: the input's).
    """

    scale: Scale = 2
    dtype: Dtype | None = None

    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        return resize_nearest(features, size=size)


@no_type_check
class BilinearUpsample(nn.Module):
    """Bilinear up-sampling.

    "Bilinear" of tables IV and VI of CARAFE++. Pixel centres lie at half-integers
    (`align_corners=False` elsewhere); sums are in float32 or wider.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import BilinearUpsample
      >>> BilinearUpsample(scale=2).apply({}, jnp.ones((1, 5, 7, 3))).shape
      (1, 10, 14, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1: an int, a
        `fractions.Fraction` or a string such as "3/2" (default: 2).
      dtype: The dtype of the result (default: the input's).
    """

    scale: Scale = 2
    dtype: Dtype | None = None

    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        return resize_bilinear(features, size=size)


@no_type_check
class NearestConvUpsample(nn.Module):
    """Nearest-neighbour up-sampling followed by a convolution.

    "N.C." of table IV of CARAFE++, whose text leaves the window open; 3x3 is our
    reading. The convolution is zero-padded alike on all sides.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import NearestConvUpsample
      >>> layer = NearestConvUpsample(scale=2, features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 7, 3))
      ... )
      >>> out.shape
      (1, 10, 14, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'conv': {'bias': (8,), 'kernel': (3, 3, 3, 8)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1: an int, a
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
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = default_bias_init

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        conv = zero_padded_conv(
            self, output_channels(features, self.features), features.dtype
        )
        return conv(resize_nearest(features, size=size))


@no_type_check
class BilinearConvUpsample(nn.Module):
    """Bilinear up-sampling followed by a convolution.

    "B.C." of table IV of CARAFE++, whose text leaves the window open; 3x3 is our
    reading. The convolution is zero-padded alike on all sides.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import BilinearConvUpsample
      >>> layer = BilinearConvUpsample(scale=2, features=8)
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 7, 3))
      ... )
      >>> out.shape
      (1, 10, 14, 8)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'conv': {'bias': (8,), 'kernel': (3, 3, 3, 8)}}}

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1: an int, a
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
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = default_bias_init

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        conv = zero_padded_conv(
            self, output_channels(features, self.features), features.dtype
        )
        return conv(resize_bilinear(features, size=size))


@no_type_check
class DeconvUpsample(nn.Module):
    """Transposed convolution whose output is exactly `scale` times its input.

    "Deconv" of tables IV and VI of CARAFE++. The default is the form of mmdetection's
    FPN_CARAFE (window 3, padding 1, output padding 1); `kernel_size=2` is that of its
    mask head (no padding), there followed by a ReLU that is not part of this layer.

    Padding means what it means in PyTorch: `padding` rows and columns are cut off on
    each side of the full transposed convolution, then the output padding, always
    `scale + 2 * padding - kernel_size` of them, is given back at the end. The kernel
    (k, k, c, f) is PyTorch's weight (c, f, k, k) transposed and flipped in space.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import DeconvUpsample
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
      features: Channels of the output (default: as many as the input has).
      kernel_size: Side of the window (default: 3).
      padding: Rows and columns cut off on each side (default: the least that makes
        the output no larger than `scale` times the input).
      use_bias: Whether to add a bias (default: True).
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
    padding: int | None = None
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = default_bias_init

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        scale = _whole_scale(self.scale)
        check_kernel_size(self.kernel_size)
        side_padding = _deconv_padding(self.kernel_size, self.padding, scale)
        deconv = nn.ConvTranspose(
            output_channels(features, self.features),
            (self.kernel_size, self.kernel_size),
            strides=(scale, scale),
            padding=(side_padding, side_padding),
            use_bias=self.use_bias,
            dtype=features.dtype,
            param_dtype=self.param_dtype,
            precision=self.precision,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            name="deconv",
        )
        return deconv(features)


@no_type_check
class PixelShuffleUpsample(nn.Module):
    """Convolution to `scale**2` times the channels, then pixel shuffle.

    "P.S." of table IV and "Pixel Shuffle" of table VI of CARAFE++ (Shi et al.,
    arXiv:1609.05158). Channel `(f * scale + py) * scale + px` of the convolution
    becomes channel f of the pixel (py, px) in each block: the output channel varies
    slowest, as in PyTorch and mmcv, whose weights fit after moving their axes.
    TensorFlow's `depth_to_space` has it fastest.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.upsample import PixelShuffleUpsample
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
        2).
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
    kernel_init: Initializer = default_kernel_init
    bias_init: Initializer = default_bias_init

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw f"]:
        """Up-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The larger map.

        Raises:
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        scale = _whole_scale(self.scale)
        channels = output_channels(features, self.features) * scale**2
        return _pixel_shuffle(
            zero_padded_conv(self, channels, features.dtype)(features), scale
        )


@no_type_check
def _upsampling_scale(scale: Scale) -> fractions.Fraction:
    fraction = parse_scale(scale)
    if fraction < 1:
        raise RefusedError(f"`scale` must be at least 1 to up-sample, got {fraction}.")
    return fraction


@no_type_check
def _whole_scale(scale: Scale) -> int:
    fraction = _upsampling_scale(scale)
    if fraction.denominator != 1:
        raise RefusedError(
            f"`scale` must be a whole number for this layer, got {fraction}."
        )
    return fraction.numerator


def _output_size(
    features: Float[Array, "n h w c"], scale: fractions.Fraction
) -> tuple[int, int]:
    _, height, width, _ = features.shape
    return math.ceil(height * scale), math.ceil(width * scale)


def _pixel_shuffle(
    features: Float[Array, "n h w c"], scale: int
) -> Float[Array, "n sh sw f"]:
    n, h, w, c = features.shape
    f = c // scale**2
    blocks = features.reshape(n, h, w, f, scale, scale)
    return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(n, scale * h, scale * w, f)


def _deconv_padding(
    kernel_size: int, padding: int | None, scale: int
) -> tuple[int, int]:
    """Pad the dilated map, before and after, so that `scale * size` rows come out."""
    if padding is None:
        padding = max(0, (kernel_size - scale + 1) // 2)
    output_padding = scale + 2 * padding - kernel_size
    if not 0 <= output_padding < scale:
        raise RefusedError(
            "`padding` must leave an output padding, scale + 2 * padding - "
            f"kernel_size, of 0 to scale - 1, got {padding} with kernel_size "
            f"{kernel_size} and scale {scale}."
        )
    before = kernel_size - 1 - padding
    return before, before + output_padding
