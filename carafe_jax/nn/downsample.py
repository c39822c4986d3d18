"""Plain down-samplers, baselines of CARAFE++ (table III of its paper).

Every layer is called `layer(features, *, train=False)` on a map (n, h, w, c), takes
`scale` in output pixels per source pixel and returns `ceil(scale * h)` rows and
`ceil(scale * w)` columns, whatever the size of the map. A layer computes in its
input's dtype, and returns it, unless `dtype` is given.
"""

import fractions
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import (
    cast,
    check_kernel_size,
    output_channels,
    stride_of,
    sum_dtype,
)
from carafe_jax.nn._convolution import (
    default_bias_init,
    default_kernel_init,
    zero_padded_conv,
)
from carafe_jax.nn._windows import average_pool, max_pool
from carafe_jax.ops.reassembly import Scale


@no_type_check
class StridedConvDownsample(nn.Module):
    """Strided convolution.

    "Conv" of table III of CARAFE++. The window is centred on the source pixel and
    zero-padded alike on all sides, as in PyTorch's ResNet; the padding "SAME" of JAX
    lies one pixel further on maps of even size.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.downsample import StridedConvDownsample
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
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        stride = stride_of(self.scale)
        channels = output_channels(features, self.features)
        return zero_padded_conv(self, channels, features.dtype, stride)(features)


@no_type_check
class MaxPoolDownsample(nn.Module):
    """Maximum over a window around each source pixel.

    "Max Pool" of table III of CARAFE++. Pixels outside the map do not take part. Where
    several pixels share the maximum, the first in row-major order gets the gradient.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.downsample import MaxPoolDownsample
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
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        stride = stride_of(self.scale)
        check_kernel_size(self.kernel_size)
        return max_pool(features, kernel_size=self.kernel_size, stride=stride)


@no_type_check
class AveragePoolDownsample(nn.Module):
    """Average over a window around each source pixel.

    "Avg Pool" of table III of CARAFE++. Sums are in float32 or wider.
    `kernel_size=2, divisor="valid"` is the pooling of ResNet-D's shortcut.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn.downsample import AveragePoolDownsample
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
          RefusedError: The map or a field does not follow its rule.
        """
        features = cast(features, self.dtype)
        stride = stride_of(self.scale)
        check_kernel_size(self.kernel_size)
        if self.divisor not in ("window", "valid"):
            raise RefusedError(
                f'`divisor` must be "window" or "valid", got {self.divisor!r}.'
            )
        average = average_pool(
            features.astype(sum_dtype(features)),
            kernel_size=self.kernel_size,
            stride=stride,
            count_include_pad=self.divisor == "window",
        )
        return average.astype(features.dtype)
