"""Samples of the bins of a region along one axis, and the weights of cells.

The sum over the samples of a bin is separable: the weight of a cell is the product of
its weights along the two axes.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

# With ceil(bin) samples a bin, samples are more than half a cell apart where there are
# two or more: at most 5 lie within a cell of a given one, and rounding adds 1.
_CANDIDATES = 6


class Axis(NamedTuple):
    """Regions along one axis of their maps, in cells; cell k is centred at k.

    Attributes:
      start: Where the first bin begins.
      size: Length of all bins together.
      samples: Samples of a bin, evenly spaced; 0 for an empty region.
      length: Cells of the map.
    """

    start: Float[Array, "*b"]
    size: Float[Array, "*b"]
    samples: Int[Array, "*b"]
    length: Int[Array, "*b"]


def axis_of(
    low: Float[Array, "*b"],
    high: Float[Array, "*b"],
    *,
    scale: Float[Array, "*b"],
    length: Int[Array, "*b"],
    bins: int,
    sampling_ratio: int | None = None,
) -> Axis:
    """Return regions from `low` to `high` pixels, divided into `bins`.

    Args:
      low: Smaller coordinate, in pixels.
      high: Larger coordinate.
      scale: Cells per pixel.
      length: Cells of the map.
      bins: Bins of a region.
      sampling_ratio: Samples of a bin; None: ceil(bin size in cells).
    """
    # The order of mmcv's operations: the number of samples depends on their rounding.
    start = low * scale - 0.5
    size = (high * scale - 0.5) - start
    if sampling_ratio is None:
        samples = _samples_of_bins(size, bins)
    else:
        samples = jnp.full(size.shape, sampling_ratio, np.int32)
    return Axis(start, size, samples, jnp.broadcast_to(length, size.shape))


def _samples_of_bins(size: Float[Array, "*b"], bins: int) -> Int[Array, "*b"]:
    """Return ceil(size / bins), with the ratio rounded to float32 as in mmcv."""
    ratio = (size / bins).astype(np.float32)
    count = jnp.ceil(ratio).astype(size.dtype)
    # XLA multiplies by the reciprocal of a constant: 84 / 7 is above 12. Products of
    # small integers are exact, and in float32 they decide as the rounded ratio does.
    count = jnp.where(size <= (count - 1) * bins, count - 1, count)
    if size.dtype == np.float32:
        count = jnp.where(size > count * bins, count + 1, count)
    return jnp.maximum(count, 0.0).astype(np.int32)


def first_and_last_cell(
    axis: Axis,
) -> tuple[Int[Array, "*b"], Int[Array, "*b"]]:
    """Return the range of cells that can have a weight; within the map in any case."""
    last = axis.length - 1
    limit = last.astype(axis.start.dtype)

    def inside(position: Float[Array, "*b"]) -> Int[Array, "*b"]:
        # Clipped twice: a conversion of NaN may return anything.
        cell = jnp.clip(position, 0.0, limit).astype(np.int32)
        return jnp.clip(cell, 0, last)

    return inside(jnp.floor(axis.start)), inside(jnp.ceil(axis.start + axis.size))


def weights_of_cells(
    axis: Axis,
    cells: Int[Array, "*b k"],
    *,
    bins: int,
    sampling_ratio: int | None = None,
) -> Float[Array, "*b bins k"]:
    """Return the weight of each cell in each bin, summed over the bin's samples.

    A sample y in [-1, length] is first clamped to the map, and then interpolated: the
    weight of cell k is max(0, 1 - |k - y|). Any other sample has weight 0.
    """
    dtype = axis.start.dtype
    start, size, samples, length = (x[..., None, None] for x in axis)
    samples, bound = samples.astype(dtype), length.astype(dtype)
    position = cells.astype(dtype)[..., None, :]
    # Samples are counted over all bins: where they are on pixels, the one quotient
    # below is exact.
    shape = (*axis.start.shape, bins, 1)
    before = lax.broadcasted_iota(dtype, shape, len(shape) - 2) * samples
    total_samples = jnp.maximum(samples, 1.0) * bins
    if sampling_ratio is None:
        # Only the samples in [k - 1, k + 1] can have a weight in cell k.
        spacing = jnp.where(size > 0, size / total_samples, 1.0)
        earliest = jnp.floor((position - 1 - start) / spacing - 0.5) - before
        earliest = jnp.clip(earliest, 0.0, jnp.maximum(samples - _CANDIDATES, 0.0))
    else:
        earliest = jnp.zeros_like(position)
    total = jnp.zeros_like(before * position)
    for number in range(sampling_ratio or _CANDIDATES):
        sample = earliest + number
        exists = sample < samples
        # XLA would multiply by the reciprocal of a divisor that is broadcast.
        divisor = jnp.where(exists, total_samples, 1.0)
        y = start + size * (before + sample + 0.5) / divisor
        hat = jnp.maximum(1 - jnp.abs(position - jnp.clip(y, 0.0, bound - 1)), 0.0)
        counted = exists & (y >= -1) & (y <= bound)
        total = total + jnp.where(counted, hat, 0.0)
    return total
