"""Transposed convolution, as a convolution that computes each phase of the output."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Initializer
from jax import lax
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.ops.convolution import convolve


# Fields and features are checked by the layers that are made of it.
@no_type_check
class TransposedConv(nn.Module):
    """Transposed convolution whose output is exactly `scale` times its input.

    The values and the parameters are those of `nn.ConvTranspose`. Each of the scale^2
    phases of the output has its own taps of the kernel, so that a plain convolution
    with scale^2 as many channels computes all of them at the input's size. XLA compiles
    the gradient of a dilated convolution for CPUs to a loop that takes about ten
    times as long.

    Attributes:
      features: Channels of the output.
      kernel_size: Side of the window.
      scale: Output pixels per source pixel along each side.
      before: Rows and columns of zeros before the map that is dilated by `scale`.
      use_bias: Whether to add a bias (default: True).
      precision: Precision of the products (default: JAX's).
      kernel_init: Initializer of the kernel, (k, k, c, f) (default: LeCun normal).
      bias_init: Initializer of the bias (default: zeros).
      dtype: Dtype of the computation (default: float32).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int
    kernel_size: int
    scale: int
    before: int
    use_bias: bool = True
    precision: lax.PrecisionLike = None
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n sh sw f"]:
        """Return the map at `scale` times its size."""
        side, scale, features = self.kernel_size, self.scale, self.features
        shape = side, side, x.shape[-1], features
        kernel: Array = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        taps, (low, high) = _taps_of_phases(side, scale, self.before)
        # A row of zeros for phases that do not use a source pixel.
        kernel = jnp.pad(kernel.astype(self.dtype), ((0, 1), (0, 1), (0, 0), (0, 0)))
        # (dy, phase of y, dx, phase of x, c, f) -> (dy, dx, c, phases, f).
        of_phases = kernel[taps][:, :, taps]
        of_phases = of_phases.transpose(0, 2, 4, 1, 3, 5)
        of_phases = of_phases.reshape(*of_phases.shape[:3], scale**2 * features)
        padding = (-low, high)
        phases = convolve(
            x.astype(self.dtype),
            of_phases,
            window_strides=(1, 1),
            padding=(padding, padding),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=self.precision,
        )
        n, height, width, _ = phases.shape
        phases = phases.reshape(n, height, width, scale, scale, features)
        out = phases.transpose(0, 1, 3, 2, 4, 5)
        out = out.reshape(n, scale * height, scale * width, features)
        if not self.use_bias:
            return out
        bias: Array = self.param("bias", self.bias_init, (features,), self.param_dtype)
        # Adding an array of rank 1 would promote its rank.
        return out + bias.astype(self.dtype).reshape(1, 1, 1, features)


def _taps_of_phases(
    side: int, scale: int, before: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the taps that each phase of the output has at each source offset.

    Output pixel scale * q + r is the sum over source pixels q + d, with the tap
    scale * d + before - r of each.

    Returns:
      Index of the tap by offset and phase, `side` where there is none; and the least
      and the largest offset.
    """
    phases = np.arange(scale)
    low = -(before // scale)
    high = (side - 1 - before + scale - 1) // scale
    taps = scale * np.arange(low, high + 1)[:, None] + before - phases
    return np.where((taps >= 0) & (taps < side), taps, side), (low, high)
