"""The loop over blocks of anchor rows, and the zero-padded reads of a block."""

import math
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Geometry, Size
from jax import lax
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.ops.sharding import zeros

_BLOCK_BYTES = 2 * 2**20


def over_blocks(
    block: Callable[[jax.Array | int, Size], jax.Array],
    *,
    anchors: Size,
    anchor_bytes: Size,
    rows_per_anchor: int,
    shape: tuple[Size, ...],
    dtype: DTypeLike,
    varying: frozenset[str],
) -> Array:
    """Return an array of `shape`, written along axis 1 by `block(first, anchors)`.

    `anchor_bytes` is the number of bytes that a block reads for each row of anchors, in
    float32; 0 requests a single block. Rows beyond `shape` are cropped. `varying` names
    the axes of a surrounding `shard_map` over which the result varies.
    """
    size = anchors
    # A map of symbolic size, in a program that is exported, is one block.
    if anchor_bytes and is_known(anchors, anchor_bytes):
        size = min(anchors, max(1, _BLOCK_BYTES // anchor_bytes))
    if size == anchors:
        return block(0, anchors)[:, : shape[1]]

    def write(index: jax.Array | int, out: jax.Array) -> jax.Array:
        # The last block overlaps the one before it instead of being smaller.
        first = jnp.minimum(index * size, anchors - size)
        rows = block(first, size)
        return lax.dynamic_update_slice_in_dim(out, rows, first * rows_per_anchor, 1)

    full = (shape[0], anchors * rows_per_anchor, *shape[2:])
    out = zeros(full, dtype, varying=varying)
    out = cast(Array, lax.fori_loop(0, math.ceil(anchors / size), write, out))
    return out[:, : shape[1]]


def is_known(*sizes: Size) -> bool:
    """Return whether all sizes are ints, and none is symbolic."""
    return all(isinstance(size, int) for size in sizes)


def row_bytes(x: Float[Array, "n h w ..."]) -> Size:
    """Return the bytes of one row of the whole batch in float32."""
    # A batch of symbolic size counts as one image.
    n = x.shape[0] if is_known(x.shape[0]) else 1
    return 4 * n * math.prod(x.shape[2:])


def pad(x: jax.Array, widths: Sequence[tuple[Size, Size]]) -> jax.Array:
    """Pad each axis with zeros before and after; negative widths crop it."""
    nothing = jnp.zeros((), x.dtype)
    return lax.pad(x, nothing, [(before, after, 0) for before, after in widths])


def source_rows(
    x: Float[Array, "n h w c"],
    first: jax.Array | int,
    anchors: Size,
    *,
    geometry: Geometry,
    across: Size,
    dtype: DTypeLike,
) -> Float[Array, "n y x c"]:
    """Return the pixels under the windows of `anchors` x `across` anchors as `dtype`.

    Rows of anchors count from `first`, columns from 0; pixels outside the map are zero.
    """
    rows, columns = geometry.rows, geometry.columns
    top = first * rows.down - rows.radius
    block = _rows(x, top, rows.span(anchors), dtype)
    right = columns.span(across) - columns.radius - columns.size
    return pad(block, ((0, 0), (0, 0), (columns.radius, right), (0, 0)))


def output_rows(
    x: Float[Array, "n oh ow ..."],
    first: jax.Array | int,
    anchors: Size,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
    halo: tuple[int, int] = (0, 0),
) -> Float[Array, "n a p b q ..."]:
    """Return the output pixels of `anchors` rows of anchors, by anchor and phase.

    `halo` is the number of anchors to add on the left and on the right; pixels outside
    the map are zero.
    """
    rows, columns = geometry.rows, geometry.columns
    left, right = (columns.up * count for count in halo)
    missing = columns.anchors * columns.up - columns.output_size
    block = _rows(x, first * rows.up, anchors * rows.up, dtype)
    block = pad(block, ((0, 0), (0, 0), (left, missing + right), *_none(x.ndim - 3)))
    shape = (x.shape[0], anchors, rows.up, columns.anchors + sum(halo), columns.up)
    return block.reshape(*shape, *x.shape[3:])


def split_channels(x: Float[Array, "... c"], groups: int) -> Float[Array, "... g cg"]:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _rows(
    x: jax.Array, first: jax.Array | int, size: Size, dtype: DTypeLike
) -> jax.Array:
    """Return rows [first, first + size) as `dtype`; those outside the map are zero."""
    rest, height = _none(x.ndim - 2), x.shape[1]
    if isinstance(first, int):
        return pad(x.astype(dtype), ((0, 0), (-first, first + size - height), *rest))
    count = min(size, height)
    start = jnp.clip(first, 0, height - count)
    inside = lax.dynamic_slice_in_dim(x, start, count, axis=1).astype(dtype)
    padded = pad(inside, ((0, 0), (size, size), *rest))
    return lax.dynamic_slice_in_dim(padded, size + first - start, size, axis=1)


def _none(axes: int) -> tuple[tuple[int, int], ...]:
    return ((0, 0),) * axes
