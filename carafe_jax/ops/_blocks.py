"""Blocks of rows: read with zeros outside the map, written one below the other."""

import math
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from carafe_pallas.call import Size
from carafe_pallas.geometry import Axis
from jax import lax
from jaxtyping import Array, DTypeLike, Float

_BLOCK_BYTES = 2 * 2**20


def over_blocks(
    block: Callable[[jax.Array | int, int], jax.Array],
    *,
    anchors: int,
    anchor_bytes: int,
    rows_per_anchor: int,
    shape: tuple[Size, ...],
    dtype: DTypeLike,
) -> Array:
    """Stack `block(first anchor, anchors)` along axis 1 into an array of `shape`.

    `anchor_bytes` is what a block reads for each anchor row, in the dtype of the sums;
    0 asks for one block. Rows past the last anchor's are cut off.
    """
    size = anchors
    if anchor_bytes:
        size = min(anchors, max(1, _BLOCK_BYTES // anchor_bytes))
    if size == anchors:
        return block(0, anchors)[:, : shape[1]]

    def write(index: jax.Array, out: jax.Array) -> jax.Array:
        # The last block overlaps the one before it instead of being smaller.
        first = jnp.minimum(index * size, anchors - size)
        rows = block(first, size)
        return lax.dynamic_update_slice_in_dim(out, rows, first * rows_per_anchor, 1)

    full = (shape[0], anchors * rows_per_anchor, *shape[2:])
    blocks = math.ceil(anchors / size)
    out = cast(Array, lax.fori_loop(0, blocks, write, jnp.zeros(full, dtype)))
    return out[:, : shape[1]]


def row_bytes(x: Float[Array, "n h w ..."]) -> int:
    """Bytes of one row of the whole batch in float32."""
    # An exported program may be for a batch of any size: blocks are those of one image.
    n = x.shape[0] if isinstance(x.shape[0], int) else 1
    return 4 * n * math.prod(x.shape[2:])


def source_rows(
    x: Float[Array, "n h w c"],
    first: jax.Array | int,
    anchors: int,
    *,
    rows: Axis,
    columns: Axis,
    across: int,
) -> Float[Array, "n y x c"]:
    """Read the pixels under the windows of `anchors` x `across` anchors."""
    top = first * rows.down - rows.radius
    block = _rows(x, top, rows.span(anchors))
    right = max(0, columns.span(across) - columns.radius - columns.size)
    return jnp.pad(block, ((0, 0), (0, 0), (columns.radius, right), (0, 0)))


def output_rows(
    x: Float[Array, "n oh ow ..."],
    first: jax.Array | int,
    anchors: int,
    *,
    rows: Axis,
    columns: Axis,
    halo: tuple[int, int] = (0, 0),
) -> Float[Array, "n a p b q ..."]:
    """Read output pixels as (anchor, phase) rows and columns.

    `halo` counts the anchors to add on the left and on the right.
    """
    left, right = (columns.up * count for count in halo)
    missing = columns.anchors * columns.up - columns.output_size
    block = _rows(x, first * rows.up, anchors * rows.up)
    block = jnp.pad(
        block, ((0, 0), (0, 0), (left, missing + right), *_none(x.ndim - 3))
    )
    shape = (x.shape[0], anchors, rows.up, columns.anchors + sum(halo), columns.up)
    return block.reshape(*shape, *x.shape[3:])


def _rows(x: jax.Array, first: jax.Array | int, size: int) -> jax.Array:
    """Rows [first, first + size) in the dtype of the sums."""
    dtype = np.promote_types(x.dtype, np.float32)
    rest, height = _none(x.ndim - 2), x.shape[1]
    if isinstance(first, int):
        inside = x[:, max(first, 0) : first + size].astype(dtype)
        above = max(-first, 0)
        below = size - above - inside.shape[1]
        return jnp.pad(inside, ((0, 0), (above, below), *rest))
    count = min(size, height)
    start = jnp.clip(first, 0, height - count)
    inside = lax.dynamic_slice_in_dim(x, start, count, axis=1).astype(dtype)
    padded = jnp.pad(inside, ((0, 0), (size, size), *rest))
    return lax.dynamic_slice_in_dim(padded, size + first - start, size, axis=1)


def _none(axes: int) -> tuple[tuple[int, int], ...]:
    return ((0, 0),) * axes
