"""The gradient of the kernels of a block, as a batch of matrix products.

A strip is a run of neighbouring anchors of one row; its patch is the source pixels that
their windows cover. The output pixels of a strip times the pixels of its patch,
contracted over the channels, are one matrix product, of which each output pixel keeps
its own window. Dimensions are named as in `sums`; s are strips, i the anchors of a
strip.
"""

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Axis, Geometry, Size
from jax import lax
from jaxtyping import Array, Float

from carafe_jax.ops.reassembly.blocks import is_known, pad, split_channels

_STRIP = 8  # Anchors of a strip. At d = 1, k / (k + 7) of its product is used.


def strip_anchors(columns: Axis) -> Size:
    """Return the number of anchors of a row, rounded up to whole strips."""
    strip, strips = _strips(columns)
    return strips * strip


def _strips(columns: Axis) -> tuple[int, Size]:
    """Return the number of anchors of a strip, and of strips of a row."""
    known = is_known(columns.anchors)
    strip = min(_STRIP, columns.anchors) if known else _STRIP
    return strip, (columns.anchors - 1) // strip + 1


def cut_patches(
    patch: Float[Array, "n y x c"], anchors: Size, rows: Axis, columns: Axis
) -> Float[Array, "n a wy s wx c"]:
    """Slice the patches of the strips of `anchors` rows out of the patch of a block."""
    strip, strips = _strips(columns)
    patch = _cut(patch, 1, count=anchors, step=rows.down, size=rows.reach)
    step = strip * columns.down
    return _cut(patch, 3, count=strips, step=step, size=columns.span(strip))


def cut_strips(
    x: Float[Array, "n a p b q c"], columns: Axis
) -> Float[Array, "n a p s i q c"]:
    """Split the output pixels of a block by strip; zeros fill up the last strip."""
    strip, strips = _strips(columns)
    n, a, p, b, q, c = x.shape
    x = pad(x, ((0, 0),) * 3 + ((0, strips * strip - b), (0, 0), (0, 0)))
    return x.reshape(n, a, p, strips, strip, q, c)


def window_products(
    g: Float[Array, "n a p s i q c"],
    patch: Float[Array, "n a y s x c"],
    geometry: Geometry,
) -> Float[Array, "n a p b q g k k"]:
    """Return the dot product of each output pixel with each pixel of its window."""
    products = jnp.einsum(
        "napsiqgc,naysxgc->napsiqgyx",
        split_channels(g, geometry.groups),
        split_channels(patch, geometry.groups),
        # The default may be TensorFloat-32 or a single bfloat16 pass.
        precision=lax.Precision.HIGHEST,
    )
    taps = _cut_windows(products, geometry.rows, geometry.columns)
    n, a, p, strips, strip, *rest = taps.shape
    taps = taps.reshape(n, a, p, strips * strip, *rest)
    return taps[:, :, :, : geometry.columns.anchors]


def _cut(x: jax.Array, axis: int, *, count: Size, step: int, size: int) -> jax.Array:
    """Replace an axis by `count` windows of `size`, `step` apart: (count, size)."""
    # Windows are concatenated from slices of whole steps: the number of slices depends
    # on the overlap of the windows, not on their count.
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
    """Select the products of each anchor and phase with the pixels of its window."""
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
