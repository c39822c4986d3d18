"""Ways to read the cells of regions for RoIAlign, all with the same samples.

`windows` is the operator. It reads a region in as many windows of cells as cover it,
and its gradient is written out. The two rivals have a bound on the samples of a bin,
and their gradient is JAX's:

- `fixed_windows` reads one window of each region, large enough for bins of
  `max_samples` cells, and multiplies it by the weights of its rows and columns.
- `cells` gathers, for each bin, the `max_samples` + 1 rows and columns that it can
  touch.

Regions are read in blocks, of all images together in `windows`, of one image in the
rivals.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from carafe_jax.ops import Boxes, roi_levels
from carafe_jax.ops.roi_align.pooling import pool
from carafe_jax.ops.roi_align.regions import (
    Regions,
    Spec,
    join_levels,
    locate,
    order_by_windows,
    take_regions,
)
from carafe_jax.ops.roi_align.samples import Axis, weights_of_cells

Way = Literal["windows", "fixed_windows", "cells"]
Pool = Callable[[Spec, int, Array, Regions], Array]


def align(
    way: Way,
    spec: Spec,
    pyramid: Sequence[Array],
    boxes: Boxes,
    *,
    max_samples: int = 8,
) -> Float[Array, "n r oh ow c"]:
    """Pool the features of regions from a pyramid whose first stride is 4.

    Args:
      way: How the cells of regions are read.
      spec: Sizes of the pooled maps, of windows and of blocks.
      pyramid: Feature maps, the finest first.
      boxes: Regions of each image, in pixels.
      max_samples: Bound on the samples of a bin along each axis; `windows` has none.
    """
    regions = locate(
        jnp.asarray(boxes.coordinates),
        jnp.asarray(boxes.valid),
        roi_levels(boxes.coordinates, levels=len(pyramid)),
        sizes=[(h, w) for _, h, w, _ in (level.shape for level in pyramid)],
        strides=[4 * 2**level for level in range(len(pyramid))],
        spec=spec,
    )
    cells = join_levels(pyramid, window=spec.window)
    if way != "windows":
        bounded = _bound_samples(regions, max_samples)
        return _POOLS[way](spec, max_samples, cells, bounded)
    order = order_by_windows(regions)
    pooled = cast(Array, pool(spec, cells, take_regions(regions, order)))
    return take_regions(pooled, jnp.argsort(order, axis=1))


def _bound_samples(regions: Regions, max_samples: int) -> Regions:
    def bounded(axis: Axis) -> Axis:
        return axis._replace(samples=jnp.minimum(axis.samples, max_samples))

    rows, columns = bounded(regions.rows), bounded(regions.columns)
    return regions._replace(rows=rows, columns=columns)


def _each_region(
    spec: Spec, cells: Array, regions: Regions, one: Callable[..., Array]
) -> Array:
    """Map over images, and over the regions of each in blocks."""

    def of_image(operands: tuple[Array, Regions]) -> Array:
        image, own = operands
        block = min(spec.block, own.cell.shape[0])
        return lax.map(functools.partial(one, image), own, batch_size=block)

    return lax.map(of_image, (cells, regions))


def _pool_fixed_windows(spec: Spec, _: int, cells: Array, regions: Regions) -> Array:
    def one(image: Float[Array, "cells c"], region: Regions) -> Array:
        offsets = jnp.arange(spec.window, dtype=np.int32)
        rows, columns = region.first_row + offsets, region.first_column + offsets
        width = region.columns.length
        starts = jnp.minimum(rows, region.rows.length - 1) * width
        starts = starts + region.cell + region.first_column
        size = (spec.window, image.shape[-1])
        window = jax.vmap(lambda start: lax.dynamic_slice(image, (start, 0), size))(
            starts
        )
        total = _einsum(
            "iy,jx,yxc->ijc",
            weights_of_cells(region.rows, rows, bins=spec.output_size[0]),
            weights_of_cells(region.columns, columns, bins=spec.output_size[1]),
            window,
        )
        return total / _samples_of(region, total.dtype)

    return _each_region(spec, cells, regions, one)


def _pool_cells(spec: Spec, max_samples: int, cells: Array, regions: Regions) -> Array:
    def one(image: Float[Array, "cells c"], region: Regions) -> Array:
        rows, row_weights = _cells_of_bins(
            region.rows, spec.output_size[0], max_samples
        )
        columns, column_weights = _cells_of_bins(
            region.columns, spec.output_size[1], max_samples
        )
        index = rows[:, :, None, None] * region.columns.length + columns + region.cell
        total = _einsum("iy,jx,iyjxc->ijc", row_weights, column_weights, image[index])
        return total / _samples_of(region, total.dtype)

    return _each_region(spec, cells, regions, one)


def _cells_of_bins(
    axis: Axis, bins: int, max_samples: int
) -> tuple[Int[Array, "bins k"], Float[Array, "bins k"]]:
    numbers = jnp.arange(max_samples, dtype=axis.start.dtype)
    first = axis.start + jnp.arange(bins, dtype=axis.start.dtype) * axis.size / bins
    count = jnp.maximum(axis.samples, 1).astype(first.dtype)
    y = first[:, None] + (numbers + 0.5) * axis.size / bins / count
    bound = axis.length.astype(y.dtype)
    counted = (numbers < axis.samples) & (y >= -1) & (y <= bound)
    clamped = jnp.clip(y, 0, bound - 1)
    cell = clamped[:, :1].astype(np.int32) + jnp.arange(max_samples + 1)
    distance = jnp.abs(cell[:, :, None].astype(y.dtype) - clamped[:, None])
    hats = jnp.where(counted[:, None], jnp.maximum(1 - distance, 0), 0)
    return jnp.minimum(cell, axis.length - 1), jnp.sum(hats, axis=-1)


def _samples_of(region: Regions, dtype: np.dtype) -> Array:
    return jnp.maximum(region.rows.samples * region.columns.samples, 1).astype(dtype)


_einsum = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)
_POOLS: dict[Way, Pool] = {
    "fixed_windows": _pool_fixed_windows,
    "cells": _pool_cells,
}
