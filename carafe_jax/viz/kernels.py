"""Images and statistics of reassembly kernels."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check


@no_type_check
def tile_kernels(
    kernels: Float[ArrayLike, "h w taps"], *, gap: int = 1
) -> Float[np.ndarray, "rows columns"]:
    """Tile the kernels of a region: a k x k tile at the position of each pixel.

    Args:
      kernels: Kernels of one example and group, such as `level.kernels[0, :8, :8, 0]`.
      gap: Empty pixels between tiles.

    Returns:
      An image of h * (k + gap) - gap rows and w * (k + gap) - gap columns, with NaN
      between the tiles.

    Raises:
      RefusedError: `kernels` is not of rank 3 or does not have k*k taps, or `gap` is
        negative.
    """
    kernels = np.asarray(kernels)
    if kernels.ndim != 3 or 0 in kernels.shape:
        raise RefusedError(
            "`kernels` must have rank 3, (H, W, k*k), and no empty axis, "
            f"got shape {kernels.shape}."
        )
    h, w, taps = kernels.shape
    k = math.isqrt(taps)
    if k * k != taps:
        raise RefusedError(
            f"`kernels` must have k*k taps in its last axis, got {taps}."
        )
    if gap < 0:
        raise RefusedError(f"`gap` must not be negative, got {gap}.")
    tiles = np.full((h, k + gap, w, k + gap), np.nan, kernels.dtype)
    tiles[:, :k, :, :k] = kernels.reshape(h, w, k, k).transpose(0, 2, 1, 3)
    picture = tiles.reshape(h * (k + gap), w * (k + gap))
    return picture[: h * (k + gap) - gap, : w * (k + gap) - gap]


def effective_taps(kernels: Float[Array, "*n taps"]) -> Float[Array, "*n"]:
    """Return the effective number of taps of each kernel: exp of its entropy.

    It is exp(-sum p log p) with p the kernel divided by its sum: 1 if a kernel copies
    one pixel, k*k if it averages the window.

    Args:
      kernels: Non-negative kernels, each with a positive sum.

    Returns:
      Numbers in [1, k*k], in float32, or in float64 if the kernels are.
    """
    kernels = kernels.astype(jnp.promote_types(kernels.dtype, jnp.float32))
    probabilities = kernels / kernels.sum(-1, keepdims=True)
    return jnp.exp(jax.scipy.special.entr(probabilities).sum(-1))
