"""The sums of one block of anchor rows, for the output and for both gradients.

Sums over the taps are elementwise on shifted slices, which XLA fuses: no im2col patches
are materialised. The gradient of the kernels is a batch of small matrix products.

Arrays inside a block are indexed by anchor and phase: (n, a, p, b, q, ...) is output
row a * up + p and column b * up + q; (y, x) are source pixels, g groups.
"""

import functools
import itertools
from collections.abc import Iterable
from typing import cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Axis, Geometry, Size
from jax import lax
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.reassembly.blocks import output_rows, source_rows, split_channels
from carafe_jax.ops.reassembly.strips import (
    cut_patches,
    cut_strips,
    strip_anchors,
    window_products,
)
from carafe_jax.ops.sharding import varying_axes, zeros

_FUSED_TERMS = 25  # In one fusion; a fused loop over a hundred is far slower.

# A window that covers a source pixel: (anchor shift, phase, tap) by row and by column.
_Reader = tuple[tuple[int, int, int], tuple[int, int, int]]


def output_block(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
    first: jax.Array | int,
    anchors: Size,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> jax.Array:
    """Return the output rows of `anchors` rows of anchors."""
    rows, columns = geometry.rows, geometry.columns
    wide = wide_dtype(features.dtype, kernels.dtype)
    patch = source_rows(
        features, first, anchors, geometry=geometry, across=columns.anchors, dtype=wide
    )
    patch = split_channels(patch, geometry.groups)
    kernels = output_rows(kernels, first, anchors, geometry=geometry, dtype=wide)
    # The phases of a run read the same pixels: each is loaded once for all of them.
    runs = [
        [
            _sum_windows(patch[:, y:, x:], kernels[:, :, p, :, q], rows, columns)
            for x, q in columns.phase_runs
        ]
        for y, p in rows.phase_runs
    ]
    across = [jnp.concatenate(run, axis=4) for run in runs]
    inner = (features.shape[3],)
    return _join_rows(jnp.concatenate(across, axis=2), inner, columns, dtype)


def source_block(
    kernels: Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
    first: jax.Array | int,
    anchors: Size,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> jax.Array:
    """Return the gradient of the source rows of `anchors` rows of anchors."""
    rows, columns = geometry.rows, geometry.columns
    low, high = rows.reader_shifts
    # Windows of neighbouring anchors cover these rows too.
    read = functools.partial(
        output_rows,
        first=first + low,
        anchors=anchors + high - low,
        geometry=geometry,
        dtype=wide_dtype(kernels.dtype, cotangent.dtype),
        halo=(-low, high),
    )
    n, _, _, c = cotangent.shape
    kernels, g = read(kernels), split_channels(read(cotangent), geometry.groups)
    residues = [
        [_sum_readers(kernels, g, rows, columns, y, x) for x in range(columns.down)]
        for y in range(rows.down)
    ]
    grid = jnp.stack([jnp.stack(row, axis=3) for row in residues], axis=2)
    shape = (n, anchors * rows.down, columns.anchors * columns.down, c)
    return grid.reshape(shape).astype(dtype)[:, :, : columns.size]


def kernels_block(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    first: jax.Array | int,
    anchors: Size,
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> jax.Array:
    """Return the gradient of the kernels of `anchors` rows of anchors."""
    columns = geometry.columns
    wide = wide_dtype(features.dtype, cotangent.dtype)
    across = strip_anchors(columns)
    patch = source_rows(
        features, first, anchors, geometry=geometry, across=across, dtype=wide
    )
    patch = cut_patches(patch, anchors, geometry.rows, columns)
    g = output_rows(cotangent, first, anchors, geometry=geometry, dtype=wide)
    taps = window_products(cut_strips(g, columns), patch, geometry)
    inner = (geometry.groups, geometry.taps)
    return _join_rows(taps, inner, columns, dtype)


def _sum_windows(
    patch: Float[Array, "n y x g c"],
    kernels: Float[Array, "n a p b q g taps"],
    rows: Axis,
    columns: Axis,
) -> Float[Array, "n a p b q g c"]:
    """Return the weighted sum over the taps, for phases that read the same pixels."""
    k, d = rows.kernel_size, rows.down
    y_stop = (kernels.shape[1] - 1) * d + 1
    x_stop = (columns.anchors - 1) * d + 1

    def term(dy: int, dx: int) -> jax.Array:
        pixels = patch[:, dy : dy + y_stop : d, None, dx : dx + x_stop : d, None]
        return kernels[..., dy * k + dx, None] * pixels

    return _sum(_sum(term(dy, dx) for dx in range(k)) for dy in range(k))


def _sum_readers(
    kernels: Float[Array, "n a p b q g taps"],
    cotangent: Float[Array, "n a p b q g c"],
    rows: Axis,
    columns: Axis,
    residue_y: int,
    residue_x: int,
) -> Float[Array, "n m mx g c"]:
    """Return the weighted sum over the windows that cover each source pixel.

    The pixels are those in rows `m * d + residue_y` and columns `mx * d + residue_x`.
    """
    (low_y, high_y), (low_x, _) = rows.reader_shifts, columns.reader_shifts
    down, across = cotangent.shape[1] - high_y + low_y, columns.anchors

    def term(reader: _Reader, kernels: jax.Array, cotangent: jax.Array) -> jax.Array:
        (shift_y, p, dy), (shift_x, q, dx) = reader
        y, x = shift_y - low_y, shift_x - low_x
        here = (slice(None), slice(y, y + down), p, slice(x, x + across), q)
        return kernels[here][..., dy * rows.kernel_size + dx, None] * cotangent[here]

    def add(readers: tuple[_Reader, ...], total: jax.Array, *operands: jax.Array):
        return total + _sum(term(reader, *operands) for reader in readers)

    n, *_, groups, c = cotangent.shape
    varying = varying_axes(kernels, cotangent)
    nothing = zeros((n, down, across, groups, c), kernels.dtype, varying=varying)
    readers = itertools.product(rows.readers(residue_y), columns.readers(residue_x))
    runs = iter(lambda: tuple(itertools.islice(readers, _FUSED_TERMS)), ())
    adders = [functools.partial(add, run) for run in runs]
    if not adders:  # If d > k, no window covers some pixels.
        return nothing
    if len(adders) == 1:
        return adders[0](nothing, kernels, cotangent)

    def add_run(index: jax.Array | int, total: jax.Array) -> jax.Array:
        # Branches of a switch, because XLA would fuse plain runs into one loop again.
        return cast(Array, lax.switch(index, adders, total, kernels, cotangent))

    return cast(Array, lax.fori_loop(0, len(adders), add_run, nothing))


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, terms)


def _join_rows(
    x: Float[Array, "n a p b q ..."],
    inner: tuple[int, ...],
    columns: Axis,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow ..."]:
    """Interleave anchors and phases to output rows and columns; crop the columns."""
    n, a, p, b, q = x.shape[:5]
    return x.astype(dtype).reshape(n, a * p, b * q, *inner)[:, :, : columns.output_size]
