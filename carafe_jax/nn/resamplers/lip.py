"""Local importance-based pooling, a baseline of CARAFE++ (table III of its paper).

LIP (Gao et al., arXiv:1908.04156) is a mean over each window, weighted by the
exponential of logits that a small network predicts from the map. In `LIPDownsample`,
which fits any network, this network is one convolution. In the blocks of the authors'
ResNet it is a `LIPTrunk`, and a `LIPHead` for each of the two maps that a block pools.
"""

import fractions
import functools

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype, Initializer, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes
from carafe_jax.nn.resamplers._windows import average_pool
from carafe_jax.nn.resamplers.base import (
    ResamplingLayer,
    cast,
    stride_of,
)
from carafe_jax.ops import Scale, wide_dtype

# Logits are between zero and this, so that the ratio of two weights is at most e^12.
_LARGEST_LOGIT = 12.0


@no_type_check
def pool_by_importance(
    features: Float[Array | np.ndarray, "n h w c"],
    logits: Float[Array | np.ndarray, "n h w c"],
    *,
    scale: Scale = fractions.Fraction(1, 2),
    kernel_size: int = 3,
) -> Float[Array, "n sh sw c"]:
    """Average each window, weighted by the exponential of its logits.

    With `pool` the sum over a window around each source pixel, placed as in
    `MaxPoolDownsample`, without pixels outside the map, the result is

      `pool(jnp.exp(logits) * features) / pool(jnp.exp(logits))`

    Nothing is subtracted from the logits first: keep them between -80 and 80.

    Args:
      features: Feature map, floating.
      logits: Logarithm of the importance of each value.
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2".
      kernel_size: Side of the window.

    Returns:
      The pooled map, summed in float32 or wider, in the dtype of `features`.

    Raises:
      RefusedError: An argument is invalid.
    """
    features, logits = checked_features(features), jnp.asarray(logits)
    _check_logits(features, logits)
    stride = stride_of(scale)
    check_int("kernel_size", kernel_size)
    pool = functools.partial(average_pool, kernel_size=kernel_size, stride=stride)
    sums = wide_dtype(features.dtype, logits.dtype)
    weights = jnp.exp(logits.astype(sums))
    # Both means divide by the size of the window, zeros outside the map included.
    pooled = pool(features.astype(sums) * weights) / pool(weights)
    return pooled.astype(features.dtype)


@no_type_check
class LIPDownsample(ResamplingLayer):
    """Local importance-based pooling with the logits of one convolution.

    "LIP" of table III of CARAFE++, in the form that its authors call simplified: logits
    are `12 * sigmoid(instance_norm(conv(features)))`, with a 3x3 convolution. With the
    default initial values all logits are equal, and the layer averages the pixels of
    each window that are inside the map.

    The norm uses the statistics of each map and channel, in training and in inference.
    Logits and sums are in float32 or wider.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import LIPDownsample
      >>> layer = LIPDownsample(scale="1/2")
      >>> out, variables = layer.init_with_output(
      ...     jax.random.key(0), jnp.ones((1, 5, 8, 3))
      ... )
      >>> out.shape
      (1, 3, 4, 3)
      >>> jax.tree.map(jnp.shape, variables["params"]["conv"])
      {'kernel': (3, 3, 3, 3)}

    Attributes:
      scale: Output pixels per source pixel along each side, 1/n for a whole n: a
        `fractions.Fraction` or a string such as "1/2" (default: 1/2).
      kernel_size: Side of the pooling window; it extends `(kernel_size - 1) // 2`
        pixels up and left of the source pixel and `kernel_size // 2` down and right
        (default: 3).
      dtype: The dtype of the convolution and the result (default: the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
      precision: Numerical precision of the products, see `jax.lax.Precision`
        (default: that of the platform).
      kernel_init: Initializer of the convolution's kernel (default: zeros).
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        return pool_by_importance(
            features,
            _logits(self, features, like=features, side=3),
            scale=self.scale,
            kernel_size=self.kernel_size,
        )


@no_type_check
class LIPTrunk(nn.Module):
    """The part of LIP's logit network that the pooling layers of a block share.

    A 1x1 convolution to a few channels, then a 3x3 one, each followed by an instance
    norm and a ReLU.

    Attributes:
      features: Channels of both convolutions (default: 128).
      dtype: The dtype of the computation and the result (default: the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
      precision: Numerical precision of the products, see `jax.lax.Precision`
        (default: that of the platform).
      kernel_init: Initializer of both kernels (default: He normal with fan-out).
    """

    features: int = 128
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.variance_scaling(
        2.0, "fan_out", "normal"
    )

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n h w f"]:
        """Return the input of each `LIPHead`.

        Args:
          features: Feature map, floating, the input of the block.
          train: Unused.

        Returns:
          Feature map of the same rows and columns, with as many channels as the field
          `features`.

        Raises:
          RefusedError: The map is invalid.
        """
        features = cast(self, features)
        dtypes = Dtypes(dtype=features.dtype, param_dtype=self.param_dtype)
        conv = functools.partial(
            Conv,
            self.features,
            use_bias=False,
            precision=self.precision,
            kernel_init=self.kernel_init,
            **dtypes,
        )
        x = conv(kernel_size=(1, 1), name="conv1")(features)
        x = nn.relu(_instance_norm(x, "norm1", self.param_dtype)).astype(x.dtype)
        x = conv(kernel_size=(3, 3), padding=1, name="conv2")(x)
        return nn.relu(_instance_norm(x, "norm2", self.param_dtype)).astype(x.dtype)


@no_type_check
class LIPHead(nn.Module):
    """Local importance-based pooling with the logits of a `LIPTrunk`.

    Logits are `12 * sigmoid(instance_norm(conv(trunk)))`, with a 1x1 convolution to the
    number of channels of the pooled map, in float32 or wider. With the default initial
    values the layer averages the pixels of each window that are inside the map.

    Attributes are those of `LIPDownsample`, with the same defaults.
    """

    scale: Scale = fractions.Fraction(1, 2)
    kernel_size: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "n h w c"],
        trunk: Float[Array, "n h w f"],
        train: bool = False,
    ) -> Float[Array, "n sh sw c"]:
        """Down-sample a feature map.

        Args:
          features: Feature map, floating.
          trunk: Output of `LIPTrunk`, with the same rows and columns.
          train: Unused.

        Returns:
          The pooled map.

        Raises:
          RefusedError: A map or a field is invalid.
        """
        features = cast(self, features)
        trunk = _checked_trunk(features, trunk)
        return pool_by_importance(
            features,
            _logits(self, trunk, like=features, side=1),
            scale=self.scale,
            kernel_size=self.kernel_size,
        )


@no_type_check
def _check_logits(
    features: Float[Array, "n h w c"], logits: Float[Array, "n h w c"]
) -> None:
    if logits.shape != features.shape:
        raise RefusedError(
            f"`logits` must have the shape of `features`, {features.shape}, got "
            f"{logits.shape}."
        )
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise RefusedError(f"`logits` must be floating, got dtype {logits.dtype}.")


@no_type_check
def _checked_trunk(
    features: Float[Array, "n h w c"], trunk: Float[Array, "n h w f"]
) -> Float[Array, "n h w f"]:
    trunk = jnp.asarray(trunk)
    if trunk.ndim != 4 or trunk.shape[:3] != features.shape[:3]:
        raise RefusedError(
            "`trunk` must have the shape of `features` but for its channels, "
            f"{features.shape}, got {trunk.shape}."
        )
    return trunk


def _logits(
    layer: LIPDownsample | LIPHead,
    source: Float[Array, "n h w f"],
    *,
    like: Float[Array, "n h w c"],
    side: int,
) -> Float[Array, "n h w c"]:
    """Return the logits for a map, by a convolution with the given kernel size."""
    conv = Conv(
        like.shape[-1],
        (side, side),
        padding=side // 2,
        use_bias=False,
        dtype=like.dtype,
        param_dtype=layer.param_dtype,
        precision=layer.precision,
        kernel_init=layer.kernel_init,
        name="conv",
    )
    # In float32: at 12, a rounding error of bfloat16 changes the weight by 3 %.
    normed = _instance_norm(conv(source), "norm", layer.param_dtype)
    return _LARGEST_LOGIT * nn.sigmoid(normed)


def _instance_norm(
    features: Float[Array, "n h w c"], name: str, param_dtype: Dtype
) -> Float[Array, "n h w c"]:
    """Normalise each channel of each map, in float32 or wider."""
    wide = wide_dtype(features.dtype)
    norm = nn.InstanceNorm(
        epsilon=1e-5,
        use_fast_variance=False,
        dtype=wide,
        param_dtype=param_dtype,
        name=name,
    )
    return norm(features.astype(wide))
