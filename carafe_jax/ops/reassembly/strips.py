"""The gradient of the kernels of a block, as products of strips with their patches.

A strip is a run of neighbouring anchors of one row. Its output pixels times the pixels
of the patch that its windows cover, summed over the channels, are one small matrix
product; the windows of each anchor are cut out of that. Letters are those of `sums`; s
counts strips, i the anchors of one.
"""

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Axis, Geometry, Size
from jax import lax
from jaxtyping import Array, Float

from carafe_jax.ops.reassembly.blocks import is_known, pad, split_channels

_STRIP = 8  # Anchors of a strip; k / (k + 7) of its product is used.


def strip_anchors(columns: Axis) -> Size:
    """Return the number of anchors of all strips; the last may end past the row."""
    strip, strips = _strips(columns)
    return strips * strip


def _strips(columns: Axis) -> tuple[int, Size]:
    """Return the anchors of a strip, and the strips of a row."""
    known = is_known(columns.anchors)
    strip = min(_STRIP, columns.anchors) if known else _STRIP
    return strip, (columns.anchors - 1) // strip + 1


def cut_patches(
    patch: Float[Array, "n y x c"], anchors: Size, rows: Axis, columns: Axis
) -> Float[Array, "n a wy s wx c"]:
    """Cut the patch of each strip of `anchors` rows of anchors out of a block's."""
    strip, strips = _strips(columns)
    patch = _cut(patch, 1, count=anchors, step=rows.down, size=rows.reach)
    step = strip * columns.down
    return _cut(patch, 3, count=strips, step=step, size=columns.span(strip))


def cut_strips(
    x: Float[Array, "n a p b q c"], columns: Axis
) -> Float[Array, "n a p s i q c"]:
    """Cut the output pixels of a block into those of each strip."""
    strip, strips = _strips(columns)
    n, a, p, b, q, c = x.shape
    x = pad(x, ((0, 0),) * 3 + ((0, strips * strip - b), (0, 0), (0, 0)))
    return x.reshape(n, a, p, strips, strip, q, c)


def window_products(
    g: Float[Array, "n a p s i q c"],
    patch: Float[Array, "n a y s x c"],
    geometry: Geometry,
) -> Float[Array, "n a p b q g k k"]:
    """Multiply each output pixel with the pixels of its window, over the channels."""
    products = jnp.einsum(
        "napsiqgc,naysxgc->napsiqgyx",
        split_channels(g, geometry.groups),
        split_channels(patch, geometry.groups),
        # No TensorFloat-32, no single pass of bfloat16.
        precision=lax.Precision.HIGHEST,
    )
    taps = _cut_windows(products, geometry.rows, geometry.columns)
    n, a, p, strips, strip, *rest = taps.shape
    taps = taps.reshape(n, a, p, strips * strip, *rest)
    return taps[:, :, :, : geometry.columns.anchors]


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
