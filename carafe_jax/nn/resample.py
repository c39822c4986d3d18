"""Plain resamplers, the baselines of CARAFE++ (tables III, IV and VI of its paper).

Every layer is called `layer(features, *, train=False)` on a map (n, h, w, c), takes
`scale` in output pixels per source pixel and returns `ceil(scale * h)` rows and
`ceil(scale * w)` columns, whatever the size of the map. A layer computes in its
input's dtype, and returns it, unless `dtype` is given.
"""

import fractions
import math
import typing
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.ops.reassembly import Scale, parse_scale

default_kernel_init = nn.initializers.xavier_uniform()
default_bias_init = nn.initializers.zeros_init()

# Layers and functions under `no_type_check` refuse wrong arguments in their own words,
# which a run-time check of their annotations would forestall.


@typing.no_type_check
def resize_nearest(
    features: Float[Array, "n h w c"], *, size: tuple[int, int]
) -> Float[Array, "n sh sw c"]:
    """Resize a map to a given size by nearest-neighbour interpolation.

    Output row i is source row `floor(i * h / sh)`, columns alike. The lateral map of a
    feature pyramid asks for this form: its size need not be a multiple of h.

    Args:
      features: The map, floating.
      size: Rows and columns of the output, `(sh, sw)`.

    Returns:
      The resized map, in the dtype of `features`.

    Raises:
      ValueError: The map is not of rank 4 or not floating, or a size is below 1.
    """
    features = _checked_features(features)
    for axis, length in zip((1, 2), _checked_size(size), strict=True):
        features = _repeat_or_gather(features, axis, length)
    return features


@typing.no_type_check
def resize_bilinear(
    features: Float[Array, "n h w c"], *, size: tuple[int, int]
) -> Float[Array, "n sh sw c"]:
    """Resize a map to a given size by bilinear interpolation.

    Pixel centres lie at half-integers (`align_corners=False` elsewhere), coordinates
    beyond the outermost centres are clamped, and nothing is smoothed before
    down-sampling. Equal to `jax.image.resize(..., "bilinear", antialias=False)`.

    Args:
      features: The map, floating.
      size: Rows and columns of the output, `(sh, sw)`.

    Returns:
      The resized map, summed in float32 or wider, in the dtype of `features`.

    Raises:
      ValueError: The map is not of rank 4 or not floating, or a size is below 1.
    """
    features = _checked_features(features)
    height, width = _checked_size(size)
    n, _, _, c = features.shape
    resized = jax.image.resize(
        features.astype(_sum_dtype(features)),
        (n, height, width, c),
        "bilinear",
        antialias=False,
    )
    return resized.astype(features.dtype)


@typing.no_type_check
class NearestUpsample(nn.Module):
    """Nearest-neighbour up-sampling.

    "Nearest" of tables IV and VI of CARAFE++. Output row i is source row
    `floor(i * h / ceil(scale * h))`; a whole scale repeats each pixel.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import NearestUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        return resize_nearest(features, size=size)


@typing.no_type_check
class BilinearUpsample(nn.Module):
    """Bilinear up-sampling.

    "Bilinear" of tables IV and VI of CARAFE++. Pixel centres lie at half-integers
    (`align_corners=False` elsewhere); sums are in float32 or wider.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import BilinearUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        return resize_bilinear(features, size=size)


@typing.no_type_check
class NearestConvUpsample(nn.Module):
    """Nearest-neighbour up-sampling followed by a convolution.

    "N.C." of table IV of CARAFE++, whose text leaves the window open; 3x3 is our
    reading. The convolution is zero-padded alike on all sides.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import NearestConvUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        conv = _conv(self, _output_channels(features, self.features), features.dtype)
        return conv(resize_nearest(features, size=size))


@typing.no_type_check
class BilinearConvUpsample(nn.Module):
    """Bilinear up-sampling followed by a convolution.

    "B.C." of table IV of CARAFE++, whose text leaves the window open; 3x3 is our
    reading. The convolution is zero-padded alike on all sides.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import BilinearConvUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        size = _output_size(features, _upsampling_scale(self.scale))
        conv = _conv(self, _output_channels(features, self.features), features.dtype)
        return conv(resize_bilinear(features, size=size))


@typing.no_type_check
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
      >>> from carafe_jax.nn.resample import DeconvUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        scale = _whole_scale(self.scale)
        _check_kernel_size(self.kernel_size)
        side_padding = _deconv_padding(self.kernel_size, self.padding, scale)
        deconv = nn.ConvTranspose(
            _output_channels(features, self.features),
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


@typing.no_type_check
class PixelShuffleUpsample(nn.Module):
    """Convolution to `scale**2` times the channels, then pixel shuffle.

    "P.S." of table IV and "Pixel Shuffle" of table VI of CARAFE++ (Shi et al.,
    arXiv:1609.05158). Channel `(f * scale + py) * scale + px` of the convolution
    becomes channel f of the pixel (py, px) in each block: the output channel varies
    slowest, as in PyTorch and mmcv, whose weights fit after moving their axes.
    TensorFlow's `depth_to_space` has it fastest.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import PixelShuffleUpsample
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
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        scale = _whole_scale(self.scale)
        channels = _output_channels(features, self.features) * scale**2
        return _pixel_shuffle(_conv(self, channels, features.dtype)(features), scale)


@typing.no_type_check
class StridedConvDownsample(nn.Module):
    """Strided convolution.

    "Conv" of table III of CARAFE++. The window is centred on the source pixel and
    zero-padded alike on all sides, as in PyTorch's ResNet; the padding "SAME" of JAX
    lies one pixel further on maps of even size.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import StridedConvDownsample
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
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      features: Channels of the output (default: as many as the input has).
      kernel_size: Side of the window, odd (default: 3).
      use_bias: Whether to add a bias (default: True).
      dtype: The dtype of the computation and the result (default: the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
      precision: Numerical precision of the products, see `jax.lax.Precision`
        (default: that of the platform).
      kernel_init: Initializer of the kernel (default: Xavier uniform).
      bias_init: Initializer of the bias (default: zeros).
    """

    scale: Scale = fractions.Fraction(1, 2)
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
        """Down-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The smaller map.

        Raises:
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        stride = _stride(self.scale)
        channels = _output_channels(features, self.features)
        return _conv(self, channels, features.dtype, stride)(features)


@typing.no_type_check
class MaxPoolDownsample(nn.Module):
    """Maximum over a window around each source pixel.

    "Max Pool" of table III of CARAFE++. Pixels outside the map do not take part. Where
    several pixels share the maximum, the first in row-major order gets the gradient.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import MaxPoolDownsample
      >>> MaxPoolDownsample(scale="1/2").apply({}, jnp.ones((1, 5, 8, 3))).shape
      (1, 3, 4, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      kernel_size: Side of the window; it reaches `(kernel_size - 1) // 2` pixels up
        and left of the source pixel and `kernel_size // 2` down and right (default: 3).
      dtype: The dtype of the result (default: the input's).
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    dtype: Dtype | None = None

    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        """Down-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The smaller map.

        Raises:
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        stride = _stride(self.scale)
        _check_kernel_size(self.kernel_size)
        padding = _pool_padding(features, self.kernel_size, stride)
        return nn.max_pool(
            features,
            (self.kernel_size, self.kernel_size),
            strides=(stride, stride),
            padding=padding,  # pyright: ignore[reportArgumentType]
        )


@typing.no_type_check
class AveragePoolDownsample(nn.Module):
    """Average over a window around each source pixel.

    "Avg Pool" of table III of CARAFE++. Sums are in float32 or wider.
    `kernel_size=2, divisor="valid"` is the pooling of ResNet-D's shortcut.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.resample import AveragePoolDownsample
      >>> AveragePoolDownsample(scale="1/2").apply({}, jnp.ones((1, 5, 8, 3))).shape
      (1, 3, 4, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      kernel_size: Side of the window; it reaches `(kernel_size - 1) // 2` pixels up
        and left of the source pixel and `kernel_size // 2` down and right (default: 3).
      divisor: What a sum is divided by: "window", the size of the window, so that
        pixels outside the map count as zeros (PyTorch's default), or "valid", the
        number of its pixels inside the map (default: "window").
      dtype: The dtype of the result (default: the input's).
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    divisor: Literal["window", "valid"] = "window"
    dtype: Dtype | None = None

    def __call__(
        self, features: Float[Array, "n h w c"], *, train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        """Down-sample a map.

        Args:
          features: The map, floating.
          train: Unused.

        Returns:
          The smaller map.

        Raises:
          ValueError: The map or a field does not follow its rule.
        """
        features = _cast(features, self.dtype)
        stride = _stride(self.scale)
        _check_kernel_size(self.kernel_size)
        if self.divisor not in ("window", "valid"):
            raise ValueError(
                f'`divisor` must be "window" or "valid", got {self.divisor!r}.'
            )
        padding = _pool_padding(features, self.kernel_size, stride)
        average = nn.avg_pool(
            features.astype(_sum_dtype(features)),
            (self.kernel_size, self.kernel_size),
            strides=(stride, stride),
            padding=padding,  # pyright: ignore[reportArgumentType]
            count_include_pad=self.divisor == "window",
        )
        return average.astype(features.dtype)


@typing.no_type_check
def _checked_features(features: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    features = jnp.asarray(features)
    if features.ndim != 4:
        raise ValueError(
            f"`features` must have rank 4, (n, h, w, c), got shape {features.shape}."
        )
    if not jnp.issubdtype(features.dtype, jnp.floating):
        raise ValueError(f"`features` must be floating, got dtype {features.dtype}.")
    if 0 in features.shape[1:]:
        raise ValueError(
            "`features` must have at least one row, column and channel, got shape "
            f"{features.shape}."
        )
    return features


@typing.no_type_check
def _cast(
    features: Float[Array, "n h w c"], dtype: Dtype | None
) -> Float[Array, "n h w c"]:
    return _checked_features(features).astype(dtype or features.dtype)


@typing.no_type_check
def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"`size` must be two numbers of at least 1, got {size}.")
    return size


@typing.no_type_check
def _upsampling_scale(scale: Scale) -> fractions.Fraction:
    fraction = parse_scale(scale)
    if fraction < 1:
        raise ValueError(f"`scale` must be at least 1 to up-sample, got {fraction}.")
    return fraction


@typing.no_type_check
def _whole_scale(scale: Scale) -> int:
    fraction = _upsampling_scale(scale)
    if fraction.denominator != 1:
        raise ValueError(
            f"`scale` must be a whole number for this layer, got {fraction}."
        )
    return fraction.numerator


@typing.no_type_check
def _stride(scale: Scale) -> int:
    fraction = parse_scale(scale)
    if fraction > 1:
        raise ValueError(f"`scale` must be at most 1 to down-sample, got {fraction}.")
    if fraction.numerator != 1:
        raise ValueError(
            f"`scale` must be 1/n with a whole n for this layer, got {fraction}."
        )
    return fraction.denominator


@typing.no_type_check
def _check_kernel_size(kernel_size: int) -> None:
    if not isinstance(kernel_size, int) or kernel_size < 1:
        raise ValueError(
            f"`kernel_size` must be an int of at least 1, got {kernel_size!r}."
        )


def _output_size(
    features: Float[Array, "n h w c"], scale: fractions.Fraction
) -> tuple[int, int]:
    _, height, width, _ = features.shape
    return math.ceil(height * scale), math.ceil(width * scale)


def _output_channels(features: Float[Array, "n h w c"], channels: int | None) -> int:
    if channels is None:
        return features.shape[-1]
    if channels < 1:
        raise ValueError(f"`features` must be None or at least 1, got {channels}.")
    return channels


def _sum_dtype(features: Float[Array, "n h w c"]) -> np.dtype:
    return jnp.promote_types(features.dtype, jnp.float32)


def _repeat_or_gather(
    features: Float[Array, "n h w c"], axis: int, length: int
) -> Float[Array, "n sh sw c"]:
    size = features.shape[axis]
    if length % size == 0:
        return jnp.repeat(features, length // size, axis=axis)
    # NumPy's 64-bit product: `length * size` may pass 2^31 where JAX has only int32.
    sources = np.arange(length, dtype=np.int64) * size // length
    return jnp.take(features, sources.astype(np.int32), axis=axis, mode="clip")


def _conv(
    layer: NearestConvUpsample
    | BilinearConvUpsample
    | PixelShuffleUpsample
    | StridedConvDownsample,
    channels: int,
    dtype: Dtype,
    stride: int = 1,
) -> nn.Conv:
    """Make the convolution of a layer, zero-padded alike on all sides."""
    _check_kernel_size(layer.kernel_size)
    if layer.kernel_size % 2 == 0:
        raise ValueError(f"`kernel_size` must be odd, got {layer.kernel_size}.")
    return nn.Conv(
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
        raise ValueError(
            "`padding` must leave an output padding, scale + 2 * padding - "
            f"kernel_size, of 0 to scale - 1, got {padding} with kernel_size "
            f"{kernel_size} and scale {scale}."
        )
    before = kernel_size - 1 - padding
    return before, before + output_padding


def _pool_padding(
    features: Float[Array, "n h w c"], kernel_size: int, stride: int
) -> Sequence[tuple[int, int]]:
    """Pad so that there are `ceil(size / stride)` windows around source pixels."""
    before = (kernel_size - 1) // 2
    lasts = [(size - 1) // stride * stride for size in features.shape[1:3]]
    return [
        (before, max(0, last - before + kernel_size - size))
        for last, size in zip(lasts, features.shape[1:3], strict=True)
    ]
