"""Kernels as a band: a matrix with a row for each output, a column for each source.

An entry is the tap at which the output pixel reads the source pixel. In memory,
normalised kernels are by output pixel, logits by anchor.
"""

from typing import Any

import jax.numpy as jnp
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from carafe_pallas.geometry import Axis
from carafe_pallas.triton.normalizers import exponentials, normalize, sigmoid
from carafe_pallas.triton.plan import SMALLEST
from carafe_pallas.triton.tiles import Pixels, Tile, divide


def load_band(tile: Tile, ref: Any, outputs: Pixels, sources: Pixels) -> Array:
    """Load kernels as a band, which is zero where an output does not read a source."""
    kernels, inside = _load(tile, ref, outputs, sources)
    return jnp.where(inside & sources.exist, kernels, 0)


def load_exponentials(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels
) -> tuple[Array, Array]:
    """Load logits as a band of exponentials; return it and the scale of each row."""
    plan = tile.plan
    logits, inside = _load(tile, ref, outputs, sources)
    # Taps outside the map count in the total; the pixels there are loaded as zeros.
    band = exponentials(logits, inside, plan.normalizer).astype(logits.dtype)
    if plan.normalizer == "sigmoid":
        return band, jnp.ones((band.shape[0], 1), jnp.float32)
    # Totals of the rounded exponentials, so that the kernels sum to one. They are a
    # product with ones, of which all columns are equal.
    ones = jnp.ones((band.shape[1], SMALLEST), band.dtype)
    return band, 1 / jnp.max(plan.dot(band, ones), axis=1, keepdims=True)


def pull_back(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels, gradient: Array
) -> Array:
    """Convert the gradient of the kernels, as a band, to that of the logits."""
    normalizer = tile.plan.normalizer
    assert normalizer is not None
    logits, inside = _load(tile, ref, outputs.column(), sources.row())
    kernels = normalize(logits, inside, normalizer)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    products = kernels * gradient
    gradient = products - kernels * jnp.sum(products, axis=1, keepdims=True)
    if normalizer == "normalized_sigmoid":
        gradient *= sigmoid(-logits.astype(jnp.float32))
    # A row without taps is NaN, because its total is zero.
    return jnp.where(inside, gradient, 0)


def store_band(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels, gradient: Array
) -> None:
    """Store the taps of a band of gradients.

    The gradient of phases past the map is zero, since zeros were loaded for them.
    """
    geometry, config = tile.plan.geometry, tile.plan.config
    outputs = outputs.column()
    taps, inside = _taps(tile, outputs, sources.row())
    rows, columns = geometry.rows, geometry.columns
    # By anchor, phases past the map are stored too, but not anchors past the last one
    # or of the next tile.
    own = tile.row + config.rows, tile.column + config.columns
    inside &= outputs.y < jnp.minimum(own[0], rows.anchors) * rows.up
    inside &= outputs.x < jnp.minimum(own[1], columns.anchors) * columns.up
    if len(ref.shape) == 5:
        inside &= outputs.exist
    # Masked entries point past the last tap: they must not alias entries that are
    # stored.
    view = _view(tile, ref, outputs, jnp.where(inside, taps, ref.shape[-1]))
    pltriton.store(view, gradient.astype(ref.dtype), mask=inside)


def _load(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels
) -> tuple[Array, Array]:
    """Load kernels as a band in their own dtype; return also which entries are taps."""
    taps, inside = _taps(tile, outputs, sources)
    inside &= outputs.exist
    view = _view(tile, ref, outputs, taps)
    return pltriton.load(view, mask=inside, other=0), inside


def _taps(tile: Tile, outputs: Pixels, sources: Pixels) -> tuple[Array, Array]:
    """Return the tap at which each output reads each source, and whether it does."""
    rows, columns = tile.plan.geometry.rows, tile.plan.geometry.columns
    k = rows.kernel_size
    dy = sources.y - _source(outputs.y, rows) + rows.radius
    dx = sources.x - _source(outputs.x, columns) + columns.radius
    inside = (dy >= 0) & (dy < k) & (dx >= 0) & (dx < k)
    return dy * k + dx, inside


def _source(output: Array, axis: Axis) -> Array:
    # The source of a pixel before the map is never used; clamped because `divide`
    # takes no negative numbers.
    quotient, _ = divide(jnp.maximum(output, 0) * axis.down, axis.up)
    return quotient


def _view(tile: Tile, ref: Any, outputs: Pixels, taps: Array) -> Any:
    """Return a view of these taps of the kernels of output pixels."""
    if len(ref.shape) == 5:
        return ref.at[tile.n, outputs.y, outputs.x, tile.group, taps]
    geometry = tile.plan.geometry
    rows, columns = geometry.rows, geometry.columns
    ay, py = divide(jnp.maximum(outputs.y, 0), rows.up)
    ax, px = divide(jnp.maximum(outputs.x, 0), columns.up)
    phase = py * columns.up + px
    kernel = phase * geometry.groups + tile.group
    return ref.at[tile.n, ay, ax, kernel * geometry.taps + taps]
