"""Detail-preserving pooling, a baseline of CARAFE++ (table III of its paper)."""

import fractions

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import along_channels
from carafe_jax.nn.resamplers._windows import average_pool
from carafe_jax.nn.resamplers.base import ResamplingLayer, cast, stride_of
from carafe_jax.ops import Scale, wide_dtype

# Keeps the squared distances positive, and so the gradients of their powers finite.
_EPSILON = 1e-3


# Our own errors for wrong fields and features are clearer.
@no_type_check
class DPPDownsample(ResamplingLayer):
    """Detail-preserving pooling: a mean over each block that favours its details.

    "DPP" of table III of CARAFE++ (Saeedan et al., arXiv:1804.04076), as in the
    authors' code for ImageNet. With I the pixels of a block and J a smoothed map, the
    weight of a pixel is

      `w = exp(alpha) + (((I - J)**2 + 1e-3) / S) ** (exp(lambda) / 2)`

    where S is the sum of `(I - J)**2 + 1e-3` over the block, and the output is
    `sum(w * I) / sum(w)`. For scale 1/2 a block has 2x2 pixels and J is the mean of the
    3x3 pixels around the first of them, where pixels outside the map count as zero.

    The original leaves two cases open; we choose as follows. If a block extends beyond
    the map, pixels outside enter neither S nor the output, so that there are
    `ceil(h / 2)` rows for every h. For scale 1/n a block has n x n pixels and J is the
    mean of the block together with the row and the column before it.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import DPPDownsample
      >>> layer = DPPDownsample(scale="1/2")
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 8, 3))
      ... )
      >>> out.shape
      (1, 3, 4, 3)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'alpha': (3,), 'lambda': (3,)}}

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      dtype: The dtype of the result, computed in float32 or wider (default: the
        input's).
      param_dtype: The dtype of alpha and lambda, which start at zero (default:
        float32).
    """

    scale: Scale = fractions.Fraction(1, 2)
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        stride = stride_of(self.scale)
        zeros, shape = nn.initializers.zeros, features.shape[-1:]
        alpha = self.param("alpha", zeros, shape, self.param_dtype)
        power = self.param("lambda", zeros, shape, self.param_dtype)
        wide = features.astype(wide_dtype(features.dtype))
        pooled = _pool(
            wide,
            bias=jnp.exp(alpha.astype(wide.dtype)),
            power=jnp.exp(power.astype(wide.dtype)) / 2,
            stride=stride,
        )
        return pooled.astype(features.dtype)


def _pool(
    features: Float[Array, "n h w c"],
    *,
    bias: Float[Array, " c"],
    power: Float[Array, " c"],
    stride: int,
) -> Float[Array, "n sh sw c"]:
    blocks = _blocks(features, stride)
    inside = _blocks(jnp.ones((1, *features.shape[1:3], 1), bool), stride)
    smooth = _smooth(features, stride)[:, :, None, :, None]
    distances = jnp.where(inside, (blocks - smooth) ** 2 + _EPSILON, 0)
    relative = distances / distances.sum((2, 4), keepdims=True)
    # A power of zero can have an infinite gradient: outside the map, use a base of one.
    details = jnp.where(inside, relative, 1) ** along_channels(power, blocks)
    weights = jnp.where(inside, along_channels(bias, blocks) + details, 0)
    return (weights * blocks).sum((2, 4)) / weights.sum((2, 4))


# A size may be symbolic, which is no int at run time.
@no_type_check
def _after(size: int, stride: int) -> int:
    """Return the number of rows, or columns, of the last block beyond the map."""
    return ((size - 1) // stride + 1) * stride - size


def _blocks(
    features: Float[Array, "n h w c"] | Bool[Array, "n h w c"], stride: int
) -> Float[Array, "n sh s sw s c"] | Bool[Array, "n sh s sw s c"]:
    """Split a map, padded with zeros, into blocks of `stride` x `stride`."""
    n, height, width, channels = features.shape
    after = (_after(height, stride), _after(width, stride))
    padded = jnp.pad(features, ((0, 0), (0, after[0]), (0, after[1]), (0, 0)))
    rows, columns = ((size - 1) // stride + 1 for size in (height, width))
    return padded.reshape(n, rows, stride, columns, stride, channels)


def _smooth(features: Float[Array, "n h w c"], stride: int) -> Float[Array, "n r q c"]:
    """Average each block with the row and column before it; outside counts as zero."""
    _, height, width, _ = features.shape
    padding = [(1, _after(height, stride)), (1, _after(width, stride))]
    return average_pool(
        features, kernel_size=stride + 1, stride=stride, padding=padding
    )
