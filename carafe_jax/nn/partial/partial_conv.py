"""Partial convolution: a convolution over the valid pixels of each window alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import PrecisionLike
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import is_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import (
    along_channels,
    check_int,
    check_odd_int,
)
from carafe_jax.nn._validity import checked_masked, zero_holes
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.masked import Masked
from carafe_jax.ops import wide_dtype

Initializer = Callable[..., Array]


# Our own errors for wrong fields and features are clearer.
@no_type_check
class PartialConv(nn.Module):
    """Convolution of a map with holes (Liu et al., arXiv:1804.07723, Eq. 1 and 2).

    With kernel W, bias b, and a window of pixels x with validity m, as in the authors'
    code::

        count = sum(m)
        m' = min(count, 1)
        out = (W . (m x) * size / (count + 1e-8) * m' + b) * m'

    Here `size` is k*k if all channels share one validity, and k*k*C if each of C
    channels has its own. If the whole window is hole, the output is exactly zero and
    remains hole; if any of its pixels is valid, so is the output. Zero padding counts
    as hole. Hence, even if all pixels are valid, windows that cross the border are
    re-weighted by the pixels inside the map, as in partial convolution based padding
    (arXiv:1811.11718).

    Parameters have the names and shapes of those of `nn.Conv`. No gradient flows
    through `valid`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import Masked, PartialConv
      >>> image, hole = jnp.ones((1, 5, 8, 3)), jnp.zeros((1, 5, 8, 1))
      >>> layer = PartialConv(features=4, kernel_size=3, stride=2)
      >>> masked = Masked(image, valid=1 - hole)
      >>> variables = layer.init(jax.random.key(0), masked)
      >>> jax.tree.map(jnp.shape, layer.apply(variables, masked))
      Masked(features=(1, 3, 4, 4), valid=(1, 3, 4, 1))

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the window, odd (default: 3).
      stride: Source pixels per output pixel along each side (default: 1).
      dilation: Distance between neighbouring taps in pixels (default: 1).
      padding: Pixels of padding on each of the four sides (default:
        `dilation * (kernel_size // 2)`, which centres the window on its pixel).
      use_bias: Whether to add a bias (default: True).
      dtype: Dtype of the computation (default: that of the features). The re-weighting
        and the bias are in float32 or wider.
      param_dtype: Dtype of the parameters (default: float32).
      precision: Precision of the convolution, as in `nn.Conv` (default: None).
      kernel_init: Initializer of the kernel (default: LeCun normal, as in `nn.Conv`).
      bias_init: Initializer of the bias (default: zeros).
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    dilation: int = 1
    padding: int | None = None
    use_bias: bool = True
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: PrecisionLike = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        _check_fields(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, masked: Masked, train: bool = False) -> Masked:
        """Convolve a feature map with holes.

        Args:
          masked: Feature map, floating, and its validity, for all channels or for each.
          train: Unused.

        Returns:
          The map in `dtype` if that is given, else in that of the features, and one
          validity for all of its channels, in the dtype of `valid`.

        Raises:
          RefusedError: Shapes or dtypes do not match.
        """
        features, valid = checked_masked(masked)
        dtype = dtypes_of(self, features)["dtype"]
        side = self.kernel_size
        shape = (side, side, features.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        out = jax.lax.conv_general_dilated(
            zero_holes(features, valid).astype(dtype),
            kernel.astype(dtype),
            (self.stride, self.stride),
            self._padding,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=self.precision,
        )
        count = self._count(valid)
        any_valid = jnp.minimum(count, 1)
        size = side**2 * valid.shape[-1]
        ratio = size / (count + 1e-8) * any_valid
        wide = wide_dtype(dtype)
        out = out.astype(wide) * ratio.astype(wide)
        if self.use_bias:
            bias = self.param(
                "bias", self.bias_init, (self.features,), self.param_dtype
            )
            out = out + along_channels(bias.astype(wide), out)
        out = out * any_valid.astype(wide)
        return Masked(out.astype(dtype), any_valid.astype(valid.dtype))

    @property
    def _padding(self) -> list[tuple[int, int]]:
        pad = self.padding
        if pad is None:
            pad = self.dilation * (self.kernel_size // 2)
        return [(pad, pad), (pad, pad)]

    def _count(self, valid: Float[Array, "n h w v"]) -> Float[Array, "n oh ow 1"]:
        """Count the valid values of each window, over all channels."""
        wide = wide_dtype(valid.dtype)
        return jax.lax.reduce_window(
            valid.sum(-1, keepdims=True, dtype=wide),
            np.zeros((), wide),
            jax.lax.add,
            (1, self.kernel_size, self.kernel_size, 1),
            (1, self.stride, self.stride, 1),
            [(0, 0), *self._padding, (0, 0)],
            window_dilation=(1, self.dilation, self.dilation, 1),
        )


def _check_fields(layer: PartialConv) -> None:
    check_odd_int("kernel_size", layer.kernel_size)
    for name in ("features", "stride", "dilation"):
        check_int(name, getattr(layer, name))
    if layer.padding is not None and not (
        layer.padding == 0 or is_count(layer.padding)
    ):
        raise RefusedError(
            f"`padding` must be None or an int of at least 0, got {layer.padding!r}."
        )
