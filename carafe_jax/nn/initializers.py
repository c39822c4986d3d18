"""Initializers of CARAFE++ layers."""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int, check_odd_int
from carafe_jax.ops import Scale, parse_scale


# Our own errors for wrong numbers are clearer.
@no_type_check
def gaussian_kernel_bias(
    *, scale: Scale, kernel_size: int = 5, groups: int = 1, deviation: float = 0.6
) -> Callable[..., Array]:
    """Return an initializer of the encoder's bias: kernels start as Gaussians.

    Each Gaussian is centred on its output pixel: up-sampling starts as smooth
    interpolation, down-sampling as blurring followed by sampling. With a bias of zero
    all kernels of a source pixel start as the same box, and up-sampling as nearest
    neighbour.

    Example:
      >>> import jax
      >>> from carafe_jax.nn import CARAFEUpsample, gaussian_kernel_bias
      >>> layer = CARAFEUpsample(encoder_bias_init=gaussian_kernel_bias(scale=2))
      >>> ramp = jax.numpy.arange(8.0)[None, :, None, None]
      >>> ramp = jax.numpy.broadcast_to(ramp, (1, 8, 8, 1))
      >>> doubled, _ = layer.init_with_output(jax.random.key(0), ramp)
      >>> [f"{value:.1f}" for value in doubled[0, 6:10, 8, 0]]
      ['2.8', '3.2', '3.8', '4.2']

    Args:
      scale: Scale of the layer.
      kernel_size: Kernel size of the layer.
      groups: Number of channel groups of the layer.
      deviation: Standard deviation of the Gaussians, in the larger of source and output
        pixels; positive and finite.

    Returns:
      An initializer for `CARAFE(encoder_bias_init=...)`, for the normalizer "softmax".
      It raises `RefusedError` for a bias that does not fit `scale`, `kernel_size` and
      `groups`.

    Raises:
      RefusedError: An argument is invalid here or for `CARAFE`.
    """
    ratio = parse_scale(scale)
    check_odd_int("kernel_size", kernel_size)
    check_int("groups", groups)
    check(
        "deviation", deviation, "be positive and finite", holds=0 < deviation < math.inf
    )
    up, down = ratio.numerator, ratio.denominator
    # Offset of each output pixel's centre from its source pixel, in source pixels.
    phases = np.arange(up)
    centres = (phases + 0.5) * down / up - 0.5 - phases * down // up
    taps = np.arange(kernel_size) - kernel_size // 2
    spread = deviation * max(1, down / up)
    along = -(((taps - centres[:, None]) / spread) ** 2) / 2
    # Phases, then groups, then taps; rows before columns.
    logits = along[:, None, None, :, None] + along[None, :, None, None, :]
    shape = (up, up, groups, kernel_size, kernel_size)
    bias = np.broadcast_to(logits, shape).ravel()

    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = float) -> Array:
        del key
        rule = f"have shape {bias.shape} for these `scale`, `kernel_size` and `groups`"
        check("encoder bias", shape, rule, holds=tuple(shape) == bias.shape)
        return jnp.asarray(bias, dtype)

    return init
