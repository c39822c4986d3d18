"""Up-sampling by interpolation, baselines of CARAFE++ (tables IV and VI)."""

import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn.resamplers.base import ResamplingLayer, cast, upsampled_size
from carafe_jax.nn.resize import resize_bilinear, resize_nearest
from carafe_jax.ops import Scale


@no_type_check
class NearestUpsample(ResamplingLayer):
    """Nearest-neighbour up-sampling.

    "Nearest" of tables IV and VI of CARAFE++. Output row i is source row
    `floor(i * h / ceil(scale * h))`; an integer scale repeats each pixel.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import NearestUpsample
      >>> NearestUpsample(scale=2).apply({}, jnp.ones((1, 5, 7, 3))).shape
      (1, 10, 14, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, at least 1: an int, a
        `fractions.Fraction` or a string such as "3/2" (default: 2).
      dtype: The dtype of the result (default: the input's).
      param_dtype: Unused: there are no parameters.
    """

    scale: Scale = 2
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        return resize_nearest(features, size=upsampled_size(features, self.scale))


@no_type_check
class BilinearUpsample(ResamplingLayer):
    """Bilinear up-sampling.

    "Bilinear" of tables IV and VI of CARAFE++. Pixel centres are half-integers
    (PyTorch's `align_corners=False`); sums are in float32 or wider.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import BilinearUpsample
      >>> BilinearUpsample(scale=2).apply({}, jnp.ones((1, 5, 7, 3))).shape
      (1, 10, 14, 3)

    Attributes:
      scale: Scale, as for `NearestUpsample` (default: 2).
      dtype: The dtype of the result (default: the input's).
      param_dtype: Unused: there are no parameters.
    """

    scale: Scale = 2
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        return resize_bilinear(features, size=upsampled_size(features, self.scale))
