"""Reassembly and its two gradients in plain JAX: the fallback of every platform.

The three are the partial derivatives of T(features, kernels, g) = sum of
g * kernels * features over every output pixel, window tap and channel.

All work in blocks of anchor rows. On a CPU this keeps a block in cache and, what weighs
more, keeps temporaries small: fresh pages cost as much there as the arithmetic. Within
a block the sums over the taps are fused loops over shifted slices; the gradient of the
kernels is a batch of small matrix products (strips of neighbouring windows times the
patch that they share), from which the windows are cut out.

Arrays inside a block are indexed by anchor and phase: (n, a, p, b, q, ...) is output
row a * up + p and column b * up + q; (y, x) are source pixels, g groups.
"""

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Axis, Geometry, Size
from jax import lax
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.ops._blocks import (
    is_known,
    output_rows,
    over_blocks,
    pad,
    row_bytes,
    source_rows,
    varying_axes,
    zeros,
)
from carafe_jax.ops._dtypes import wide_dtype

_FUSED_TERMS = 25  # Of a loop over readers; XLA makes a far slower one of a hundred.
_STRIP = 8  # Anchors of a strip; k / (k + 7) of its product is used.

Function = TypeVar("Function", bound=Callable[..., Array])

# What reads a source pixel: (anchor shift, phase, tap) of its row and of its column.
_Readers = tuple[tuple[int, int, int], tuple[int, int, int]]


def compiled(**static: Any) -> Callable[[Function], Function]:
    """Compile a function outside of `jax.jit` too; its static type stays, unlike there.

    Args:
      **static: `static_argnums` or `static_argnames` of `jax.jit`.
    """
    return lambda function: cast(Function, jax.jit(function, **static))


# A call outside `jax.jit` is fused as well.
_compiled = compiled(static_argnames=("geometry", "dtype"))


@_compiled
def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Float[Array, "n oh ow g taps"],
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow c"]:
    """Sum each window of the features, weighted by its kernel."""
    rows, columns = geometry.rows, geometry.columns
    n, _, _, c = features.shape
    sums = wide_dtype(features.dtype, kernels.dtype)

    def block(first: jax.Array | int, anchors: Size) -> jax.Array:
        patch = source_rows(
            features,
            first,
            anchors,
            rows=rows,
            columns=columns,
            across=columns.anchors,
            dtype=sums,
        )
        patch = _split_channels(patch, geometry.groups)
        weights = output_rows(
            kernels, first, anchors, rows=rows, columns=columns, dtype=sums
        )
        runs = [
            [
                _sum_windows(patch[:, y:, x:], weights[:, :, p, :, q], rows, columns)
                for x, q in columns.phase_runs
            ]
            for y, p in rows.phase_runs
        ]
        across = [jnp.concatenate(run, axis=4) for run in runs]
        return _join_rows(jnp.concatenate(across, axis=2), (c,), columns, dtype)

    return over_blocks(
        block,
        anchors=rows.anchors,
        # Up-sampling writes more than it reads: one block writes the output only once.
        anchor_bytes=row_bytes(features) * rows.down if rows.down > 1 else 0,
        rows_per_anchor=rows.up,
        shape=(n, rows.output_size, columns.output_size, c),
        dtype=dtype,
        varying=varying_axes(features, kernels),
    )


@_compiled
def grad_features(
    kernels: Float[Array, "n oh ow g taps"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> Float[Array, "n h w c"]:
    """Gather for each source pixel what the windows over it received."""
    rows, columns = geometry.rows, geometry.columns
    n, _, _, c = cotangent.shape
    low, high = rows.reader_shifts
    sums = wide_dtype(kernels.dtype, cotangent.dtype)

    def block(first: jax.Array | int, anchors: Size) -> jax.Array:
        read = functools.partial(
            output_rows, rows=rows, columns=columns, dtype=sums, halo=(-low, high)
        )
        span = anchors + high - low
        weights = read(kernels, first + low, span)
        g = _split_channels(read(cotangent, first + low, span), geometry.groups)
        residues = [
            [_sum_readers(weights, g, rows, columns, y, x) for x in range(columns.down)]
            for y in range(rows.down)
        ]
        grid = jnp.stack([jnp.stack(row, axis=3) for row in residues], axis=2)
        shape = (n, anchors * rows.down, columns.anchors * columns.down, c)
        return grid.reshape(shape).astype(dtype)[:, :, : columns.size]

    return over_blocks(
        block,
        anchors=rows.anchors,
        anchor_bytes=row_bytes(cotangent) * rows.up,
        rows_per_anchor=rows.down,
        shape=(n, rows.size, columns.size, c),
        dtype=dtype,
        varying=varying_axes(kernels, cotangent),
    )


@_compiled
def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow g taps"]:
    """Multiply each output pixel with every pixel of its window, over the channels."""
    rows, columns, groups = geometry.rows, geometry.columns, geometry.groups
    known = is_known(columns.anchors)
    strip = min(_STRIP, columns.anchors) if known else _STRIP
    strips = (columns.anchors - 1) // strip + 1
    sums = wide_dtype(features.dtype, cotangent.dtype)

    def block(first: jax.Array | int, anchors: Size) -> jax.Array:
        patch = source_rows(
            features,
            first,
            anchors,
            rows=rows,
            columns=columns,
            across=strips * strip,
            dtype=sums,
        )
        patch = _cut(patch, 1, count=anchors, step=rows.down, size=rows.reach)
        step = strip * columns.down
        patch = _cut(patch, 3, count=strips, step=step, size=columns.span(strip))
        g = output_rows(
            cotangent, first, anchors, rows=rows, columns=columns, dtype=sums
        )
        g = _cut_strips(g, strip, strips)
        products = jnp.einsum(
            "napsiqgc,naysxgc->napsiqgyx",
            _split_channels(g, groups),
            _split_channels(patch, groups),
            precision=lax.Precision.HIGHEST,
        )
        taps = _cut_windows(products, rows, columns)
        taps = taps.reshape(*taps.shape[:3], strips * strip, *taps.shape[5:])
        taps = taps[:, :, :, : columns.anchors]
        return _join_rows(taps, (groups, geometry.kernel_size**2), columns, dtype)

    return over_blocks(
        block,
        anchors=rows.anchors,
        anchor_bytes=row_bytes(features) * rows.down + row_bytes(cotangent) * rows.up,
        rows_per_anchor=rows.up,
        shape=(
            features.shape[0],
            rows.output_size,
            columns.output_size,
            groups,
            geometry.kernel_size**2,
        ),
        dtype=dtype,
        varying=varying_axes(features, cotangent),
    )


def _sum_windows(
    patch: Float[Array, "n y x g c"],
    weights: Float[Array, "n a p b q g taps"],
    rows: Axis,
    columns: Axis,
) -> Float[Array, "n a p b q g c"]:
    """Weighted sum over the taps, for phases that read the same source pixel."""
    k, d = rows.kernel_size, rows.down
    y_stop = (weights.shape[1] - 1) * d + 1
    x_stop = (columns.anchors - 1) * d + 1

    def term(dy: int, dx: int) -> jax.Array:
        pixels = patch[:, dy : dy + y_stop : d, None, dx : dx + x_stop : d, None]
        return weights[..., dy * k + dx, None] * pixels

    return _sum(_sum(term(dy, dx) for dx in range(k)) for dy in range(k))


def _sum_readers(
    weights: Float[Array, "n a p b q g taps"],
    cotangent: Float[Array, "n a p b q g c"],
    rows: Axis,
    columns: Axis,
    residue_y: int,
    residue_x: int,
) -> Float[Array, "n m mx g c"]:
    """Weighted sum over the windows that cover source pixels (m d + y, mx d + x)."""
    (low_y, high_y), (low_x, _) = rows.reader_shifts, columns.reader_shifts
    down, across = cotangent.shape[1] - high_y + low_y, columns.anchors

    def term(pair: _Readers, weights: jax.Array, cotangent: jax.Array) -> jax.Array:
        (shift_y, p, dy), (shift_x, q, dx) = pair
        y, x = shift_y - low_y, shift_x - low_x
        here = (slice(None), slice(y, y + down), p, slice(x, x + across), q)
        return weights[here][..., dy * rows.kernel_size + dx, None] * cotangent[here]

    def add(pairs: tuple[_Readers, ...], total: jax.Array, *operands: jax.Array):
        return total + _sum(term(pair, *operands) for pair in pairs)

    n, *_, groups, c = cotangent.shape
    varying = varying_axes(weights, cotangent)
    nothing = zeros((n, down, across, groups, c), weights.dtype, varying=varying)
    pairs = itertools.product(rows.readers(residue_y), columns.readers(residue_x))
    runs = iter(lambda: tuple(itertools.islice(pairs, _FUSED_TERMS)), ())
    adders = [functools.partial(add, run) for run in runs]
    if not adders:  # Strides wider than the window leave gaps.
        return nothing
    if len(adders) == 1:
        return adders[0](nothing, weights, cotangent)

    def add_run(index: jax.Array | int, total: jax.Array) -> jax.Array:
        # XLA would fuse the runs into one again if they were not branches.
        return cast(Array, lax.switch(index, adders, total, weights, cotangent))

    return cast(Array, lax.fori_loop(0, len(adders), add_run, nothing))


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, terms)


def _split_channels(x: Float[Array, "... c"], groups: int) -> Float[Array, "... g cg"]:
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _join_rows(
    x: Float[Array, "n a p b q ..."],
    inner: tuple[int, ...],
    columns: Axis,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow ..."]:
    """Interleave anchors and phases to output rows, cut at the right."""
    n, a, p, b, q = x.shape[:5]
    return x.astype(dtype).reshape(n, a * p, b * q, *inner)[:, :, : columns.output_size]


def _cut(x: jax.Array, axis: int, *, count: Size, step: int, size: int) -> jax.Array:
    """Cut `count` pieces out of an axis, a step apart: (count, size) in its place."""
    # Slices of whole steps, laid side by side: as many as overlap, whatever the count.
    overlap = -(-size // step)
    widths: list[tuple[Size, Size]] = [(0, 0)] * x.ndim
    widths[axis] = (0, (count - 1 + overlap) * step - x.shape[axis])
    x = pad(x, widths)
    shape = (*x.shape[:axis], count, step, *x.shape[axis + 1 :])
    pieces = [
        lax.slice_in_dim(x, i * step, (i + count) * step, axis=axis).reshape(shape)
        for i in range(overlap)
    ]
    pieces = jnp.concatenate(pieces, axis=axis + 1)
    return lax.slice_in_dim(pieces, 0, size, axis=axis + 1)


def _cut_strips(
    x: Float[Array, "n a p b q c"], strip: int, strips: Size
) -> Float[Array, "n a p s i q c"]:
    n, a, p, b, q, c = x.shape
    x = pad(x, ((0, 0),) * 3 + ((0, strips * strip - b), (0, 0), (0, 0)))
    return x.reshape(n, a, p, strips, strip, q, c)


def _cut_windows(
    products: Float[Array, "n a p s i q g y x"], rows: Axis, columns: Axis
) -> Float[Array, "n a p s i q g k k"]:
    """Keep of each anchor's and phase's products those with its own window."""
    k, d = rows.kernel_size, columns.down

    def window(p: int, i: int, q: int) -> jax.Array:
        y, x = rows.offsets[p], columns.offsets[q] + i * d
        return products[:, :, p, :, i, q, :, y : y + k, x : x + k]

    return jnp.stack(
        [
            jnp.stack(
                [
                    jnp.stack([window(p, i, q) for q in range(columns.up)], axis=3)
                    for i in range(products.shape[4])
                ],
                axis=3,
            )
            for p in range(rows.up)
        ],
        axis=2,
    )
