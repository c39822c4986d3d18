"""Energy of checkerboard artefacts, periodic patterns that up-sampling can cause.

A layer that doubles a map computes even and odd pixels with different weights. If the
weights do not agree, the output has a pattern with a period of 2 pixels. Every later
doubling doubles the period of patterns from earlier layers.
"""

import functools
import math
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Complex, Float, Num

from carafe_jax.arguments import check, check_count
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype

# In shorter windows, edges and texture count as a lattice.
_LEAST_WINDOW = 7


class _Wave(NamedTuple):
    """A frequency of a lattice, in cycles per `period` pixels along each axis."""

    down: int
    across: int


@no_type_check
def lattice_energy(
    images: Float[Array | np.ndarray, "b h w c"],
    masks: Num[Array | np.ndarray, "b h w 1"] | Bool[Array | np.ndarray, "b h w 1"],
    *,
    period: int = 2,
) -> Float[Array, "b"]:
    """Return the energy of patterns of one period in the hole of each image.

    It is the mean of `lattice_map` over the pixels that it measures.

    Args:
      images: Images in [0, 1].
      masks: 1 in the hole, 0 elsewhere.
      period: Period of the patterns in pixels, at least 2.

    Returns:
      Mean square of the patterns; NaN if no pixel is deep enough in the hole.

    Raises:
      RefusedError: The shapes do not match, or the period is below 2.
    """
    energy = lattice_map(images, masks, period=period)
    with jax.debug_nans(False):  # NaN is the result without a pixel.
        return jnp.nanmean(energy, (1, 2))


@no_type_check
def lattice_map(
    images: Float[Array | np.ndarray, "b h w c"],
    masks: Num[Array | np.ndarray, "b h w 1"] | Bool[Array | np.ndarray, "b h w 1"],
    *,
    period: int = 2,
) -> Float[Array, "b h w"]:
    """Return the energy of patterns of one period around each pixel of a hole.

    The patterns are waves with one cycle per `period` pixels: vertical, horizontal, and
    along both diagonals. The amplitude of each is estimated in the four windows that
    meet at the pixel, and the smallest of the four is used: a lattice continues on all
    sides, while an edge is absent on one of them. A window is a box filter of `period`
    pixels, applied repeatedly, so that constants and ramps have no energy; patterns
    whose period is up to 1.5 times `period` count in part. A pixel is measured if all
    four windows are inside the hole. Computed in float32 or, if the images have more
    precision, in theirs.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.metrics import lattice_map
      >>> columns = jnp.broadcast_to((-1.0) ** jnp.arange(32), (1, 32, 32))[..., None]
      >>> energy = lattice_map(0.5 + 0.1 * columns, jnp.ones((1, 32, 32, 1)))
      >>> round(float(energy[0, 16, 16]), 4)
      0.01

    Args:
      images: Images in [0, 1].
      masks: 1 in the hole, 0 elsewhere.
      period: Period of the patterns in pixels, at least 2.

    Returns:
      Sum of the patterns' mean squares, averaged over the channels; NaN at pixels that
      are not measured.

    Raises:
      RefusedError: The shapes do not match, or the period is below 2.
    """
    images, masks = jnp.asarray(images), jnp.asarray(masks)
    check_count("period", period)
    check("period", period, "be at least 2", holds=period >= 2)
    if images.ndim != 4 or masks.shape != (*images.shape[:3], 1):
        raise RefusedError(
            "`masks` must have the shape (b, h, w, 1) of images (b, h, w, c), got "
            f"{masks.shape} for {images.shape}."
        )
    images = images.astype(wide_dtype(images.dtype))
    with jax.debug_nans(False):
        return _lattice_map(images, masks[..., 0] > 0, period)


@functools.partial(jax.jit, static_argnums=2)
def _lattice_map(
    images: Float[Array, "b h w c"], holes: Bool[Array, "b h w"], period: int
) -> Float[Array, "b h w"]:
    repeats = max(2, math.ceil((_LEAST_WINDOW - 1) / (period - 1)))
    reach = repeats * (period - 1)
    energy = sum(
        _least_of_four(_wave_energy(images, wave, period, repeats), reach)
        for wave in _waves(period)
    )
    energy = jnp.asarray(energy).mean(-1)
    return jnp.where(_surrounded(holes, reach), energy, jnp.nan)


def _waves(period: int) -> tuple[_Wave, ...]:
    """Return each wave once; at period 2, both diagonals are the same."""
    waves = (_Wave(1, 0), _Wave(0, 1), _Wave(1, 1))
    return waves if period == 2 else (*waves, _Wave(1, -1))


def _wave_energy(
    images: Float[Array, "b h w c"], wave: _Wave, period: int, repeats: int
) -> Float[Array, "b rows columns c"]:
    """Return the mean square of a wave in each window, across the border too."""
    rows, columns = np.indices(images.shape[1:3])
    phase = 2 * np.pi / period * (wave.down * rows + wave.across * columns)
    dtype = np.result_type(images.dtype, np.complex64)
    carrier = jnp.asarray(np.exp(-1j * phase)[None, ..., None], dtype)
    amplitude = _smooth(images.astype(dtype) * carrier, period, repeats)
    # Half of a real wave is at the negative frequency, except at period 2.
    return (1 if period == 2 else 2) * (amplitude.real**2 + amplitude.imag**2)


def _smooth(
    x: Complex[Array, "b h w c"], period: int, repeats: int
) -> Complex[Array, "b rows columns c"]:
    """Average `period` pixels along each side, `repeats` times."""
    reach = repeats * (period - 1)
    x = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    for axis in (1, 2) * repeats:
        size = x.shape[axis] - period + 1
        shifted = (
            lax.slice_in_dim(x, start, start + size, axis=axis)
            for start in range(period)
        )
        x = functools.reduce(operator.add, shifted) / period
    return x


def _least_of_four(
    energy: Float[Array, "b rows columns c"], reach: int
) -> Float[Array, "b h w c"]:
    """Return the least energy of the four windows that meet at each pixel."""
    for axis in (1, 2):
        size = energy.shape[axis] - reach
        before, after = (
            lax.slice_in_dim(energy, start, start + size, axis=axis)
            for start in (0, reach)
        )
        energy = jnp.minimum(before, after)
    return energy


def _surrounded(holes: Bool[Array, "b h w"], reach: int) -> Bool[Array, "b h w"]:
    """Return whether all pixels up to `reach` away on each side are hole."""
    side = 2 * reach + 1
    padding = ((0, 0), (reach, reach), (reach, reach))
    given = jnp.pad(~holes, padding, constant_values=True).astype(jnp.float32)
    window, strides = (1, side, side), (1, 1, 1)
    return (
        lax.reduce_window(given, np.float32(0), lax.max, window, strides, "valid") == 0
    )
