"""Source pixels that an output pixel is reassembled from (figure 9 of CARAFE++)."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import parse_scale, reassemble
from carafe_jax.viz.levels import Level


@no_type_check
def reassembly_sources(
    levels: Sequence[Level], pixels: Sequence[tuple[int, int]] | Int[ArrayLike, "p 2"]
) -> Float[Array, "n p h w"]:
    """Trace output pixels back to the input map of the first level.

    The weight of a source pixel in an output pixel is the product of the reassembly
    weights along a path between them, one tap in each level, summed over all paths, as
    in figure 9 of CARAFE++ (arXiv:2012.04733). It is computed level by level, by the
    transpose of `carafe_jax.reassemble`, from a map that is one at the output pixel and
    zero elsewhere. Hence::

        output[n, i, j] = sum over (y, x) of weights[n, (i, j), y, x] * map[n, y, x]

    if there are only reassemblies. Networks also have convolutions and skips between
    them, which are ignored, as in the paper.

    If all kernels sum to one, so do the weights of pixels away from the border; taps
    outside the map are lost. A level with groups is traced through the mean of their
    kernels; for a single group, pass a level with `kernels[..., g : g + 1, :]`.

    Args:
      levels: Levels in the order in which a network applies them. Between two of them,
        the map may be cropped to its first rows and columns, as in
        `carafe_jax.models.UNet`.
      pixels: Rows and columns of the pixels in the output of the last level.

    Returns:
      Weights of the source pixels for each example and pixel, in float32, or in float64
      if a kernel is.

    Raises:
      RefusedError: There is no level, the levels do not fit each other, or a pixel is
        outside the output of the last level.
    """
    levels = list(levels)
    _check_kernels(levels)
    sizes = _source_sizes(levels)
    n, height, width = levels[-1].kernels.shape[:3]
    rows, columns = _checked_pixels(pixels, (height, width)).T
    dtype = jnp.result_type(jnp.float32, *(level.kernels.dtype for level in levels))
    weights = jnp.zeros((n, height, width, len(rows)), dtype)
    # Pixels are stacked along the channels, which reassembly treats independently.
    weights = weights.at[:, rows, columns, np.arange(len(rows))].set(1)
    for level, size in zip(reversed(levels), reversed(sizes), strict=True):
        weights = _trace_back(weights, level, size)
    return jnp.moveaxis(weights, -1, 1)


@no_type_check
def strongest_sources(
    weights: Float[ArrayLike, "h w"], *, share: float = 0.5
) -> Bool[np.ndarray, "h w"]:
    """Mark the fewest pixels whose weights reach a fraction of the sum.

    Args:
      weights: Non-negative weights.
      share: Fraction of the sum, in (0, 1].

    Raises:
      RefusedError: `share` is out of range, or no weight is positive.
    """
    if not 0 < share <= 1:
        raise RefusedError(f"`share` must lie in (0, 1], got {share}.")
    values = np.asarray(weights, np.float64)
    rule = "be finite, with a positive sum"
    total = float(values.sum())
    check("weights", total, rule, holds=0 < total < math.inf)
    order = np.argsort(values, axis=None)[::-1]
    before = np.cumsum(values.ravel()[order]) - values.ravel()[order]
    # Rounding errors must not add pixels once the fraction is reached.
    needed = before < share * total * (1 - 1e-6)
    strongest = np.zeros(values.size, bool)
    strongest[order[needed]] = True
    return strongest.reshape(values.shape)


def _trace_back(
    weights: Float[Array, "n ch cw p"], level: Level, size: tuple[int, int]
) -> Float[Array, "n h w p"]:
    n, height, width, p = weights.shape
    kernels = level.kernels.astype(weights.dtype).mean(3, keepdims=True)
    # Pixels that were cropped away have no weight.
    rows, columns = kernels.shape[1] - height, kernels.shape[2] - width
    weights = jnp.pad(weights, ((0, 0), (0, rows), (0, columns), (0, 0)))
    source = jnp.zeros((n, *size, p), weights.dtype)
    _, transpose = jax.vjp(lambda x: reassemble(x, kernels, scale=level.scale), source)
    return transpose(weights)[0]


def _check_kernels(levels: Sequence[Level]) -> None:
    if not levels:
        raise RefusedError("`levels` must hold at least one level, got none.")
    for index, level in enumerate(levels):
        shape = level.kernels.shape
        if len(shape) != 5 or 0 in shape[1:]:
            raise RefusedError(
                f"`levels[{index}].kernels` must have rank 5, (N, H_out, W_out, G, "
                f"k*k), and no empty axis but N, got shape {shape}."
            )
        if shape[0] != levels[0].kernels.shape[0]:
            raise RefusedError(
                f"`levels[{index}].kernels` must have as many examples as the first "
                f"level has, {levels[0].kernels.shape[0]}, got shape {shape}."
            )


def _source_sizes(levels: Sequence[Level]) -> list[tuple[int, int]]:
    sizes = [_source_size(levels[0], None, 0)]
    for index, (before, level) in enumerate(itertools.pairwise(levels), start=1):
        _, height, width, _, _ = before.kernels.shape
        sizes.append(_source_size(level, (height, width), index))
    return sizes


def _source_size(
    level: Level, available: tuple[int, int] | None, index: int
) -> tuple[int, int]:
    scale, size, output = parse_scale(level.scale), level.size, level.kernels.shape[1:3]
    largest = tuple(math.floor(side / scale) for side in output)
    if size is None:
        size = tuple(map(min, largest, available)) if available else largest
    height, width = size
    if (math.ceil(height * scale), math.ceil(width * scale)) != tuple(output):
        raise RefusedError(
            f"`levels[{index}]` must have kernels of shape (N, H_out, W_out, G, k*k) "
            "with (H_out, W_out) the size of its source times its scale, rounded up, "
            f"got (H_out, W_out) = {tuple(output)}, source {(height, width)} and scale "
            f"{scale}."
        )
    if available and (height > available[0] or width > available[1]):
        raise RefusedError(
            f"`levels[{index}].size` must be at most the output of the level before, "
            f"{tuple(available)}, got {(height, width)}."
        )
    return height, width


@no_type_check
def _checked_pixels(
    pixels: Sequence[tuple[int, int]] | Int[ArrayLike, "p 2"], size: tuple[int, int]
) -> Int[np.ndarray, "p 2"]:
    pixels = np.asarray(pixels)
    if pixels.ndim != 2 or pixels.shape[1] != 2 or pixels.dtype.kind not in "iu":
        raise RefusedError(
            "`pixels` must be pairs of whole numbers, (row, column), got "
            f"{pixels.dtype} of shape {pixels.shape}."
        )
    outside = ((pixels < 0) | (pixels >= size)).any(1)
    if outside.any():
        raise RefusedError(
            f"`pixels` must lie in the last level's output, of size {size}, got "
            f"{tuple(pixels[outside][0].tolist())}."
        )
    return pixels
