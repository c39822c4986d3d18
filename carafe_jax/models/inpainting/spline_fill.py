"""Smooth fill of holes by a spline in tension, solved from coarse to fine.

A network that starts from this fill has to learn only a residual. In the hole the fill
u minimises the energy of a plate under tension,

    (1 - T) |laplacian u|^2 + T |gradient u|^2,

with the given pixels held fixed (Smith and Wessel 1990, Gridding with continuous
curvature splines in tension). As T approaches 0 it becomes the biharmonic fill, which
continues slopes but overshoots in large holes; T = 1 is the harmonic fill, which does
not continue slopes.

The given pixels are averaged into a pyramid. From coarse to fine, each level starts
from the previous one, up-sampled bilinearly, and is smoothed by gradient descent. The
step sizes are those of Chebyshev iteration, which damp all frequencies that the coarser
level cannot represent.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.models.inpainting.output import check_image_and_mask
from carafe_jax.ops import wide_dtype

# With 24 sweeps per level, fills of photographs are within 0.04 dB of exact ones.
_SWEEPS = 24
# Ratio of the largest to the smallest eigenvalue that the sweeps damp: larger for the
# plate, whose eigenvalues are squared.
_SPREAD_OF_PLATE, _SPREAD_OF_MEMBRANE = 300, 40
# Number of levels for sizes unknown at trace time: enough for 4096 pixels.
_LEVELS_OF_ANY_SIZE = 12


class _Level(NamedTuple):
    """The given pixels at one level of the pyramid."""

    image: Float[Array, "n h w c"]
    """Mean of the given pixels of each block of the finer level; zero without any."""
    given: Float[Array, "n h w 1"]
    """1 if the block has given pixels, else 0."""


# Our own errors for wrong images and masks are clearer.
@no_type_check
def spline_fill(
    image: Float[Array | np.ndarray, "n h w c"],
    mask: Float[Array | np.ndarray, "n h w 1"],
    *,
    tension: float = 0.25,
) -> Float[Array, "n h w c"]:
    """Return images whose holes continue the surrounding pixels smoothly.

    Sums are in float32 or, if the image has more precision, in its dtype. The fill is
    linear in the given pixels, and differentiable. It can exceed their range.

    Example:
      >>> import jax.numpy as jnp
      >>> from carafe_jax.models import spline_fill
      >>> ramp = jnp.broadcast_to(jnp.linspace(-1, 1, 32)[:, None], (1, 32, 32, 1))
      >>> mask = jnp.zeros((1, 32, 32, 1)).at[:, 10:20, 8:24].set(1)
      >>> filled = spline_fill(jnp.where(mask > 0, 0, ramp), mask)
      >>> float(abs(filled - ramp).max()) < 0.03
      True

    Args:
      image: Image of any range. Its values in the hole are ignored.
      mask: Mask M, 1 in the hole and 0 at the given pixels.
      tension: Tension T in (0, 1], 1 for the harmonic fill. Far below 0.1 the sweeps do
        not converge in large holes, which are then flatter than the biharmonic fill.

    Returns:
      Filled image, in the dtype of the image; given pixels are unchanged. An image
      without given pixels becomes zero.

    Raises:
      RefusedError: The image is not floating or not of rank 4, the mask does not have
        its shape with one channel, or the tension is out of range.
    """
    image, mask = jnp.asarray(image), jnp.asarray(mask)
    check_image_and_mask(image, mask)
    holds = isinstance(tension, int | float) and 0 < tension <= 1
    check("tension", tension, "be a number in (0, 1]", holds=holds)
    if 0 in image.shape:
        return image
    dtype = wide_dtype(image.dtype)
    hole = mask != 0
    given = jnp.where(hole, 0, image)
    bottom = _Level(given.astype(dtype), (~hole).astype(dtype))
    pyramid = [bottom, *itertools.islice(_halvings(bottom), _depth(image.shape))]
    filled = _mean_colour(pyramid[-1])
    for index, level in reversed(list(enumerate(pyramid))):
        filled = _doubled(filled, level.image.shape)
        filled = jnp.where(level.given > 0, level.image, filled)
        filled = _smoothed(filled, 1 - level.given, tension, pixel=2**index)
    return jnp.where(hole, filled.astype(image.dtype), given)


def _depth(shape: tuple[int, ...]) -> int:
    """Return the number of times a map can be halved."""
    sides = [side for side in shape[1:3] if isinstance(side, int)]
    if len(sides) < 2:  # A size is symbolic, in a program to be exported.
        return _LEVELS_OF_ANY_SIZE
    return math.ceil(math.log2(max(*sides, 1)))


def _halvings(level: _Level) -> Iterator[_Level]:
    """Yield levels at a half, a quarter, ... of the size, without end."""
    while True:
        count, total = _block_sums(level.given), _block_sums(level.image)
        level = _Level(total / jnp.maximum(count, 1), jnp.minimum(count, 1))
        yield level


def _block_sums(x: Float[Array, "n h w c"]) -> Float[Array, "n rows columns c"]:
    """Sum blocks of 2 x 2 pixels; odd sides are padded with zeros."""
    size = (1, 2, 2, 1)
    padding = ((0, 0), (0, 1), (0, 1), (0, 0))
    return lax.reduce_window(x, np.zeros((), x.dtype), lax.add, size, size, padding)


def _mean_colour(level: _Level) -> Float[Array, "n h w c"]:
    """Return an image of the mean colour of a level's given pixels."""
    count = level.given.sum((1, 2), keepdims=True)
    total = level.image.sum((1, 2), keepdims=True)
    return jnp.broadcast_to(total / jnp.maximum(count, 1), level.image.shape)


def _doubled(
    x: Float[Array, "n rows columns c"], shape: tuple[int, ...]
) -> Float[Array, "n h w c"]:
    """Double the axes shorter than in `shape` bilinearly, and crop them to it."""
    for axis in (1, 2):
        if x.shape[axis] == shape[axis]:
            continue
        x = lax.slice_in_dim(_doubled_along(x, axis), 0, shape[axis], axis=axis)
    return x


def _doubled_along(x: Array, axis: int) -> Array:
    """Double an axis; new centres are a quarter of a pixel from the old ones."""
    padded = _repeat_ends(x, axis)
    before, after = (
        (3 * x + lax.slice_in_dim(padded, start, start + x.shape[axis], axis=axis)) / 4
        for start in (0, 2)
    )
    shape = [*x.shape]
    shape[axis] *= 2
    return jnp.stack([before, after], axis + 1).reshape(shape)


def _smoothed(
    x: Float[Array, "n h w c"],
    hole: Float[Array, "n h w 1"],
    tension: float,
    *,
    pixel: int,
) -> Float[Array, "n h w c"]:
    """Smooth the hole of a level whose pixels are `pixel` original pixels wide.

    The plate bends at the scale of original pixels: at coarser levels, it acts as a
    membrane.
    """
    # The gradient of the energy is ((1 - T) L^2 + T L) u, with the negative Laplacian L
    # of original pixels. Its eigenvalues are at most 8, and a quarter of that with each
    # halving.
    bending = (1 - tension) / pixel**2
    plate, membrane = 64 * bending, 8 * tension  # Largest eigenvalues.
    # One half: a weaker plate contributes at most a third of the force at the highest
    # frequency, and less at lower ones; finer levels add it.
    is_plate = plate > membrane / 2
    largest = membrane + (plate if is_plate else 0)
    spread = _SPREAD_OF_PLATE if is_plate else _SPREAD_OF_MEMBRANE

    def sweep(x: Array, step: Array) -> tuple[Array, None]:
        curvature = _laplacian(x)
        force = tension * curvature
        if is_plate:
            force += bending * _laplacian(curvature)
        return x - step * hole * force, None

    steps = jnp.asarray(_chebyshev_steps(largest, largest / spread), x.dtype)
    return lax.scan(sweep, x, steps)[0]


def _laplacian(x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Return the negative Laplacian: 4 x minus the four neighbours, edges repeated."""
    total = 4 * x
    for axis in (1, 2):
        padded = _repeat_ends(x, axis)
        for start in (0, 2):
            total -= lax.slice_in_dim(padded, start, start + x.shape[axis], axis=axis)
    return total


def _repeat_ends(x: Array, axis: int) -> Array:
    """Repeat the first and the last entry of an axis."""
    size = x.shape[axis]
    first = lax.slice_in_dim(x, 0, 1, axis=axis)
    last = lax.slice_in_dim(x, size - 1, size, axis=axis)
    return lax.concatenate([first, x, last], axis)


def _chebyshev_steps(largest: float, smallest: float) -> Float[np.ndarray, "sweeps"]:
    """Return the gradient descent steps that best damp a range of eigenvalues.

    They are the inverse roots of the Chebyshev polynomial on that range. Long and short
    steps alternate, as rounding errors would grow otherwise.
    """
    angles = (np.arange(_SWEEPS) + 0.5) * np.pi / _SWEEPS
    middle, radius = (largest + smallest) / 2, (largest - smallest) / 2
    rising = 1 / (middle + radius * np.cos(angles))
    half = _SWEEPS // 2
    return np.stack([rising[:half], rising[half:][::-1]], axis=1).ravel()
