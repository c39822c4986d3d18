"""Max and average pooling, baselines of CARAFE++ (table III of its paper)."""

import fractions
from typing import Literal

import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.resamplers._windows import average_pool, max_pool
from carafe_jax.nn.resamplers.base import (
    ResamplingLayer,
    cast,
    stride_of,
)
from carafe_jax.ops import Scale, wide_dtype


@no_type_check
class MaxPoolDownsample(ResamplingLayer):
    """Maximum over a window around each source pixel.

    "Max Pool" of table III of CARAFE++. Pixels outside the map are ignored. If several
    pixels share the maximum, the first in row-major order receives the gradient.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import MaxPoolDownsample
      >>> MaxPoolDownsample(scale="1/2").apply({}, jnp.ones((1, 5, 8, 3))).shape
      (1, 3, 4, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      kernel_size: Side of the window; it extends `(kernel_size - 1) // 2` pixels up
        and left of the source pixel and `kernel_size // 2` down and right (default: 3).
      dtype: The dtype of the result (default: the input's).
      param_dtype: Unused: there are no parameters.
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        stride = stride_of(self.scale)
        check_int("kernel_size", self.kernel_size)
        return max_pool(features, kernel_size=self.kernel_size, stride=stride)


@no_type_check
class AveragePoolDownsample(ResamplingLayer):
    """Average over a window around each source pixel.

    "Avg Pool" of table III of CARAFE++. Sums are in float32 or wider.
    `kernel_size=2, divisor="valid"` is the pooling of ResNet-D's shortcut.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import AveragePoolDownsample
      >>> AveragePoolDownsample(scale="1/2").apply({}, jnp.ones((1, 5, 8, 3))).shape
      (1, 3, 4, 3)

    Attributes:
      scale: Scale, as for `MaxPoolDownsample` (default: 1/2).
      kernel_size: Side of the window, placed as in `MaxPoolDownsample` (default: 3).
      divisor: Divisor of the sums: "window", the size of the window, so that pixels
        outside the map count as zero (PyTorch's default), or "valid", the number of its
        pixels inside the map (default: "window").
      dtype: The dtype of the result (default: the input's).
      param_dtype: Unused: there are no parameters.
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    divisor: Literal["window", "valid"] = "window"
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        stride = stride_of(self.scale)
        check_int("kernel_size", self.kernel_size)
        if self.divisor not in ("window", "valid"):
            raise RefusedError(
                f'`divisor` must be "window" or "valid", got {self.divisor!r}.'
            )
        average = average_pool(
            features.astype(wide_dtype(features.dtype)),
            kernel_size=self.kernel_size,
            stride=stride,
            count_include_pad=self.divisor == "window",
        )
        return average.astype(features.dtype)
