"""Kernels along a band, which has a row for each output and a column for each source.

An entry is the tap at which the output reads the source. Kernels that are normalised
come by output pixel, logits by anchor.
"""

from typing import Any

import jax.numpy as jnp
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from carafe_pallas.geometry import Axis
from carafe_pallas.triton.normalizers import exponentials, normalize, sigmoid
from carafe_pallas.triton.plan import SMALLEST
from carafe_pallas.triton.tiles import Pixels, Tile, divide


def lay_band(tile: Tile, ref: Any, outputs: Pixels, sources: Pixels) -> Array:
    """Lay the kernels of outputs where they read sources, else zero."""
    kernels, inside = _load(tile, ref, outputs, sources)
    return jnp.where(inside & sources.exist, kernels, 0)


def lay_exponentials(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels
) -> tuple[Array, Array]:
    """Return a band of exponentials, and what scales its rows to kernels."""
    plan = tile.plan
    logits, inside = _load(tile, ref, outputs, sources)
    # Pixels outside the map are loaded as zeros; their taps count in the total.
    band = exponentials(logits, inside, plan.normalizer).astype(logits.dtype)
    if plan.normalizer == "sigmoid":
        return band, jnp.ones((band.shape[0], 1), jnp.float32)
    # Sums of what is multiplied, which has been rounded: kernels sum to one. All
    # columns of the product are alike.
    ones = jnp.ones((band.shape[1], SMALLEST), band.dtype)
    return band, 1 / jnp.max(plan.dot(band, ones), axis=1, keepdims=True)


def pull_back(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels, gradient: Array
) -> Array:
    """Turn the gradient of the kernels into that of the logits, along the band."""
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
    # A row in which nothing is inside has no total.
    return jnp.where(inside, gradient, 0)


def store_band(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels, gradient: Array
) -> None:
    """Store the band. Phases that do not exist have loaded zeros: they get zero."""
    geometry, config = tile.plan.geometry, tile.plan.config
    outputs = outputs.column()
    taps, inside = _taps(tile, outputs, sources.row())
    rows, columns = geometry.rows, geometry.columns
    # By anchor, phases past the map have a place in memory too; the anchors past the
    # last one and those of the next tile have not.
    own = tile.row + config.rows, tile.column + config.columns
    inside &= outputs.y < jnp.minimum(own[0], rows.anchors) * rows.up
    inside &= outputs.x < jnp.minimum(own[1], columns.anchors) * columns.up
    if len(ref.shape) == 5:
        inside &= outputs.exist
    # What is masked points past the end: it must not alias what is stored.
    view = _view(tile, ref, outputs, jnp.where(inside, taps, ref.shape[-1]))
    pltriton.store(view, gradient.astype(ref.dtype), mask=inside)


def _load(
    tile: Tile, ref: Any, outputs: Pixels, sources: Pixels
) -> tuple[Array, Array]:
    """Return the kernels along the band as they are stored, and where it lies."""
    taps, inside = _taps(tile, outputs, sources)
    inside &= outputs.exist
    view = _view(tile, ref, outputs, taps)
    return pltriton.load(view, mask=inside, other=0), inside


def _taps(tile: Tile, outputs: Pixels, sources: Pixels) -> tuple[Array, Array]:
    """Return at which tap outputs read sources, and whether they do."""
    rows, columns = tile.plan.geometry.rows, tile.plan.geometry.columns
    k = rows.kernel_size
    dy = sources.y - _source(outputs.y, rows) + rows.radius
    dx = sources.x - _source(outputs.x, columns) + columns.radius
    inside = (dy >= 0) & (dy < k) & (dx >= 0) & (dx < k)
    return dy * k + dx, inside


def _source(output: Array, axis: Axis) -> Array:
    # A pixel before the map does not exist; it reads nothing, whatever comes out here.
    quotient, _ = divide(jnp.maximum(output, 0) * axis.down, axis.up)
    return quotient


def _view(tile: Tile, ref: Any, outputs: Pixels, taps: Array) -> Any:
    """Return the view of the taps of the kernels of output pixels."""
    if len(ref.shape) == 5:
        return ref.at[tile.n, outputs.y, outputs.x, tile.group, taps]
    geometry = tile.plan.geometry
    rows, columns = geometry.rows, geometry.columns
    ay, py = divide(jnp.maximum(outputs.y, 0), rows.up)
    ax, px = divide(jnp.maximum(outputs.x, 0), columns.up)
    phase = py * columns.up + px
    kernel = phase * geometry.groups + tile.group
    return ref.at[tile.n, ay, ax, kernel * geometry.taps + taps]
