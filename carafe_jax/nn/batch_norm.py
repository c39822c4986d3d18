"""Batch normalisation whose result does not depend on the number of devices."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import along_channels
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import checked_switch
from carafe_jax.ops import wide_dtype

Initializer = Callable[..., Array]


# Our own errors for wrong features are clearer.
@no_type_check
class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last (Ioffe & Szegedy 2015).

    It differs from `flax.linen.BatchNorm` in two ways. Statistics can be those of
    groups of examples (ghost batches): with 1024 examples and 16 groups, each example
    is normalised over its group of 64, whatever devices hold them. And the running
    variance averages the unbiased estimate, n / (n - 1) times the variance of the
    batch, as in PyTorch, so that checkpoints are comparable.

    Under `jax.jit` over a sharded batch, a single group is the whole batch on all
    devices. If each group is on one device, only the running statistics need
    communication.

    As in `nn.BatchNorm`, the variance is the mean of the squares minus the square of
    the mean, one pass over the map. In float32 it has a relative error of 1e-7 times
    the square of mean / standard deviation: 1 % where the mean is 300 times as large.

    Attributes:
      use_running_average: Whether to normalise with the running statistics instead of
        those of the batch; can be passed to the call instead.
      momentum: Decay of the running statistics (default: 0.9; PyTorch's 0.1).
      epsilon: Added to the variance (default: 1e-5).
      groups: Number of groups of consecutive examples, each with its own statistics
        (default: 1). The running statistics are the means over the groups.
      dtype: Dtype of the result (default: that of the input). Statistics and
        arithmetic are in float32 or wider.
      param_dtype: Dtype of scale, bias and running statistics (default: float32).
      scale_init: Initializer of the scale (default: ones).
      bias_init: Initializer of the bias (default: zeros).
    """

    use_running_average: bool | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    groups: int = 1
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    scale_init: Initializer = nn.initializers.ones
    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(
        self, features: Float[Array, "n *s c"], use_running_average: bool | None = None
    ) -> Float[Array, "n *s c"]:
        """Normalise a feature map.

        Args:
          features: Floating array, examples first and channels last.
          use_running_average: Same as the attribute, which must then be None.

        Returns:
          The map with mean `bias` and standard deviation `scale`, in `dtype` if that is
          given, else in the dtype of `features`.

        Raises:
          RefusedError: `groups` does not divide the number of examples, a group has
            fewer than two values per channel in training, or another field or argument
            is invalid.
        """
        running = nn.merge_param(
            "use_running_average", self.use_running_average, use_running_average
        )
        running = checked_switch("use_running_average", running)
        features = jnp.asarray(features)
        out_dtype = dtypes_of(self, features)["dtype"]
        channels = features.shape[-1:]
        mean = self.variable(
            "batch_stats", "mean", lambda: jnp.zeros(channels, self.param_dtype)
        )
        variance = self.variable(
            "batch_stats", "var", lambda: jnp.ones(channels, self.param_dtype)
        )
        scale = self.param("scale", self.scale_init, channels, self.param_dtype)
        bias = self.param("bias", self.bias_init, channels, self.param_dtype)
        dtype = wide_dtype(features.dtype)
        x = features.astype(dtype)
        if running:
            means, variances, scale, bias = (
                along_channels(values.astype(dtype), x)
                for values in (mean.value, variance.value, scale, bias)
            )
            x = (x - means) * (jax.lax.rsqrt(variances + self.epsilon) * scale)
            return (x + bias).astype(out_dtype)
        x = self._grouped(x)
        scale, bias = (along_channels(each.astype(dtype), x) for each in (scale, bias))
        axes = tuple(range(1, x.ndim - 1))
        means = x.mean(axes, keepdims=True)
        # The mean of squares: both sums in one pass over the map.
        variances = jnp.square(x).mean(axes, keepdims=True) - jnp.square(means)
        variances = jnp.maximum(variances, 0)
        if not self.is_initializing():
            count = self._checked_count(x)
            unbiased = variances.reshape(-1, *channels).mean(0) * count
            self._follow(mean, means.reshape(-1, *channels).mean(0))
            self._follow(variance, unbiased / (count - 1))
        x = (x - means) * (jax.lax.rsqrt(variances + self.epsilon) * scale) + bias
        return x.reshape(features.shape).astype(out_dtype)

    def _grouped(self, x: Float[Array, "n *s c"]) -> Float[Array, "g m *s c"]:
        n = x.shape[0]
        if self.groups < 1 or n % self.groups:
            raise RefusedError(
                f"`groups` must divide the {n} examples of a batch, got {self.groups}."
            )
        return x.reshape(self.groups, n // self.groups, *x.shape[1:])

    def _checked_count(self, x: Float[Array, "g m *s c"]) -> int:
        """Return the number of values per channel, whose variance must be defined."""
        count = x.size // (self.groups * x.shape[-1])
        if count < 2:
            raise RefusedError(
                "`features` must have more than one value per channel in training, "
                f"as a variance needs, got shape {x.shape[1:]}"
                f"{' in each group' if self.groups > 1 else ''}: use larger batches."
            )
        return count

    def _follow(self, average: nn.Variable[Array], value: Float[Array, " c"]) -> None:
        value = value.astype(average.value.dtype)
        average.value = self.momentum * average.value + (1 - self.momentum) * value
