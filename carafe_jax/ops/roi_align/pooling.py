"""Mean samples of regions, as two products of matrices for each window of cells.

The features of a region are Wy F Wx^T / n, with the weights of cells in bins and the
number n of samples. A loop adds up the windows of a region, in as many steps as the
largest region of a block needs: no bound on the size of regions is compiled in. JAX
cannot differentiate such a loop in reverse mode. But the operator is linear: its
transpose is written out, and each of the two is the gradient of the other.
"""

import functools
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.roi_align.regions import Regions, Spec
from carafe_jax.ops.roi_align.samples import weights_of_cells
from carafe_jax.ops.sharding import like, varying_axes, zeros

T = TypeVar("T")

# Weights and features keep all bits of float32: the original multiplies no matrices.
_einsum = functools.partial(jnp.einsum, precision=lax.Precision.HIGHEST)

_LEAST_BLOCK = 8
"""Regions of an image whose windows are read at once, however many images there are."""

_GATHER = lax.GatherDimensionNumbers(
    offset_dims=(3, 4),
    collapsed_slice_dims=(),
    start_index_map=(1,),
    operand_batching_dims=(0,),
    start_indices_batching_dims=(0,),
)
_SCATTER = lax.ScatterDimensionNumbers(
    update_window_dims=(3, 4),
    inserted_window_dims=(),
    scatter_dims_to_operand_dims=(1,),
    operand_batching_dims=(0,),
    scatter_indices_batching_dims=(0,),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def pool(
    spec: Spec, cells: Float[Array, "n cells c"], regions: Regions
) -> Float[Array, "n r oh ow c"]:
    """Return the mean of the samples of each bin, in the dtype of sums."""
    n, _, c = cells.shape
    dtype, sizes = wide_dtype(cells.dtype), (1, spec.window, c)

    def pool_block(block: Regions) -> Float[Array, "n m oh ow c"]:
        def add_window(
            number: Int[Array, ""], total: Float[Array, "n m oh ow c"]
        ) -> Float[Array, "n m oh ow c"]:
            starts, rows, columns = _window(spec, block, number, dtype)
            window = lax.gather(
                cells, starts, _GATHER, sizes, mode=lax.GatherScatterMode.CLIP
            )
            window = window.reshape(-1, *window.shape[2:]).astype(dtype)
            part = _einsum("biy,byxc->bixc", rows, window)
            part = _einsum("bjx,bixc->bijc", columns, part)
            return total + part.reshape(total.shape)

        shape = (n, block.cell.shape[1], *spec.output_size, c)
        total = zeros(shape, dtype, varying=varying_axes(cells, block.cell))
        total = cast(Array, lax.fori_loop(0, _windows_of(block), add_window, total))
        return total / _samples_of(block, dtype)

    blocks = _split_blocks(spec, regions)
    pooled = cast(Array, lax.map(pool_block, blocks))
    return _join_blocks(pooled, regions.cell.shape[1])


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def spread(
    spec: Spec, count: int, pooled: Float[Array, "n r oh ow c"], regions: Regions
) -> Float[Array, "n cells c"]:
    """Return the transpose of `pool`, for `count` cells, in the dtype of sums."""
    n, c = pooled.shape[0], pooled.shape[-1]
    dtype = wide_dtype(pooled.dtype)

    def spread_block(
        total: Float[Array, "n cells c"],
        operands: tuple[Regions, Float[Array, "n m oh ow c"]],
    ) -> tuple[Float[Array, "n cells c"], None]:
        block, cotangent = operands
        cotangent = cotangent.astype(dtype) / _samples_of(block, dtype)
        cotangent = cotangent.reshape(-1, *cotangent.shape[2:])

        def add_window(
            number: Int[Array, ""], total: Float[Array, "n cells c"]
        ) -> Float[Array, "n cells c"]:
            starts, rows, columns = _window(spec, block, number, dtype)
            part = _einsum("bjx,bijc->bixc", columns, cotangent)
            window = _einsum("biy,bixc->byxc", rows, part)
            window = window.reshape(n, -1, *window.shape[1:])
            return lax.scatter_add(
                total, starts, window, _SCATTER, mode=lax.GatherScatterMode.CLIP
            )

        total = cast(Array, lax.fori_loop(0, _windows_of(block), add_window, total))
        return total, None

    blocks = _split_blocks(spec, (regions, pooled))
    varying = varying_axes(pooled, regions.cell)
    total = zeros((n, count, c), dtype, varying=varying)
    total, _ = lax.scan(spread_block, total, blocks)
    return total


_Residuals = tuple[Array, Regions]


def _pool_fwd(spec: Spec, cells: Array, regions: Regions) -> tuple[Array, _Residuals]:
    return pool(spec, cells, regions), (cells, regions)


def _pool_bwd(
    spec: Spec, residuals: _Residuals, cotangent: Array
) -> tuple[Array, None]:
    cells, regions = residuals
    grad = cast(Array, spread(spec, cells.shape[1], cotangent, regions))
    return like(grad.astype(cells.dtype), cells), None


def _spread_fwd(
    spec: Spec, count: int, pooled: Array, regions: Regions
) -> tuple[Array, _Residuals]:
    return spread(spec, count, pooled, regions), (pooled, regions)


def _spread_bwd(
    spec: Spec, _: int, residuals: _Residuals, cotangent: Array
) -> tuple[Array, None]:
    pooled, regions = residuals
    grad = cast(Array, pool(spec, cotangent, regions))
    return like(grad.astype(pooled.dtype), pooled), None


pool.defvjp(_pool_fwd, _pool_bwd)
spread.defvjp(_spread_fwd, _spread_bwd)


def _window(
    spec: Spec, block: Regions, number: Int[Array, ""], dtype: np.dtype
) -> tuple[Int[Array, "n m k 1"], Float[Array, "b oh k"], Float[Array, "b ow k"]]:
    """Return where the rows of each region's window start, and the cells' weights.

    The weights of all images are along one axis, b = n * m: products of matrices then
    have the same bits, whatever the number of images.
    """
    wide = jnp.maximum(jnp.max(block.windows[..., 1]), 1)
    offsets = lax.broadcasted_iota(np.int32, (1, 1, spec.window), 2)
    first_row = block.first_row + number // wide * spec.window
    first_column = block.first_column + number % wide * spec.window
    rows = first_row[..., None] + offsets
    height, width = block.rows.length[..., None], block.columns.length[..., None]
    # Past the map, cells of another row or level are read, with weight 0.
    starts = (
        block.cell[..., None]
        + jnp.minimum(rows, height - 1) * width
        + jnp.minimum(first_column[..., None], width - 1)
    )

    def weights(axis: int, cells: Int[Array, "n m k"]) -> Float[Array, "b bins k"]:
        found = weights_of_cells(
            (block.rows, block.columns)[axis],
            cells,
            bins=spec.output_size[axis],
            sampling_ratio=spec.sampling_ratio,
        ).astype(dtype)
        return found.reshape(-1, *found.shape[2:])

    columns = first_column[..., None] + offsets
    return starts[..., None], weights(0, rows), weights(1, columns)


def _windows_of(block: Regions) -> Int[Array, ""]:
    """Return the number of windows that cover the largest region of a block."""
    high, wide = block.windows[..., 0], block.windows[..., 1]
    return jnp.max(high) * jnp.max(wide)


def _samples_of(block: Regions, dtype: np.dtype) -> Float[Array, "n m 1 1 1"]:
    # In floating point: the product for a region of a million pixels exceeds int32.
    samples = block.rows.samples.astype(dtype) * block.columns.samples.astype(dtype)
    return jnp.maximum(samples, 1)[..., None, None, None]


def _split_blocks(spec: Spec, operands: T) -> T:
    """Divide the regions, on the second axis, into blocks, on a new first axis."""
    n, r = jax.tree.leaves(operands)[0].shape[:2]
    size = max(min(r, spec.block // n), _LEAST_BLOCK)

    def split(x: Array) -> Array:
        x = jnp.pad(x, ((0, 0), (0, -r % size), *((0, 0),) * (x.ndim - 2)))
        return jnp.moveaxis(x.reshape(n, -1, size, *x.shape[2:]), 1, 0)

    return jax.tree.map(split, operands)


def _join_blocks(
    blocks: Float[Array, "blocks n m oh ow c"], r: int
) -> Float[Array, "n r oh ow c"]:
    _, n, _, *shape = blocks.shape
    return jnp.moveaxis(blocks, 0, 1).reshape(n, -1, *shape)[:, :r]
