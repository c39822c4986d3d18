"""The body of `reassemble`: band @ features, for the blocks of a program."""

import functools
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from carafe_pallas.triton.kernels import load_band, load_exponentials
from carafe_pallas.triton.plan import Plan, padded
from carafe_pallas.triton.tiles import Pixels, Tile, sum_pixels


def reassemble_body(
    features_ref: Any, kernels_ref: Any, out_ref: Any, *, plan: Plan
) -> None:
    """Write the output pixels of a tile."""
    tile = Tile.of_program(plan)
    outputs = tile.pixels(plan.outputs, jnp.arange(padded(plan.outputs)))
    if plan.whole:
        _multiply_whole_band(tile, features_ref, kernels_ref, out_ref, outputs)
    else:
        _sum_parts_of_band(tile, features_ref, kernels_ref, out_ref, outputs)


def _sum_parts_of_band(
    tile: Tile, features_ref: Any, kernels_ref: Any, out_ref: Any, outputs: Pixels
) -> None:
    """Load a part of the band for each product: the whole band would not fit."""
    plan = tile.plan

    def add(block: Array | int, index: Array, total: Array) -> Array:
        sources = tile.pixels(plan.sources, index)
        band = load_band(tile, kernels_ref, outputs.column(), sources.row())
        return total + plan.dot(band, tile.load(features_ref, sources, block))

    @tile.each_block(first=0)
    def _(block: Array) -> None:
        add_to_block = functools.partial(add, block)
        sums = sum_pixels(plan, plan.sources, add_to_block, padded(plan.outputs))
        tile.store(out_ref, outputs, sums, block)


def _multiply_whole_band(
    tile: Tile, features_ref: Any, kernels_ref: Any, out_ref: Any, outputs: Pixels
) -> None:
    """Load the band once for all blocks of channels."""
    plan = tile.plan
    sources = tile.pixels(plan.sources, jnp.arange(padded(plan.sources)))
    # Requested first, so that the load overlaps with the making of the band.
    features = tile.load(features_ref, sources, tile.block(0))
    scale: Array | None = None
    if plan.normalizer is None:
        band = load_band(tile, kernels_ref, outputs.column(), sources.row())
    else:
        band, scale = load_exponentials(
            tile, kernels_ref, outputs.column(), sources.row()
        )

    # Rows are scaled after the product, which then need not wait for their totals.
    def multiply(block: Array | int, features: Array) -> None:
        sums = plan.dot(band, features)
        tile.store(out_ref, outputs, sums if scale is None else sums * scale, block)

    if plan.config.num_stages > 1:
        # Triton prefetches the loads of this loop.
        multiply(tile.block(0), features)

        @tile.each_block(first=1)
        def _(block: Array) -> None:
            multiply(block, tile.load(features_ref, sources, block))

        return

    # With one stage Triton prefetches nothing: each iteration loads the next block.
    def step(index: Array, features: Array) -> Array:
        following = tile.load(features_ref, sources, tile.block(index + 1))
        multiply(tile.block(index), features)
        return following

    last = plan.steps - 1
    multiply(tile.block(last), lax.fori_loop(0, last, step, features))
