"""The body of `grad_features`: band^T @ cotangent, for the blocks of a program."""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from carafe_pallas.triton.kernels import load_band
from carafe_pallas.triton.plan import Plan, padded
from carafe_pallas.triton.tiles import Tile, sum_pixels


def grad_features_body(
    kernels_ref: Any, cotangent_ref: Any, grad_ref: Any, *, plan: Plan
) -> None:
    """Write the source pixels of a tile."""
    tile = Tile.of_program(plan)
    own = padded(plan.sources)
    sources = tile.pixels(plan.sources, jnp.arange(own))

    def add(block: Array | int, index: Array, total: Array) -> Array:
        outputs = tile.pixels(plan.outputs, index)
        # The taps of an output are contiguous in memory: with outputs as the first
        # axis, neighbouring threads load neighbouring taps.
        band = load_band(tile, kernels_ref, outputs.column(), sources.row())
        cotangent = tile.load(cotangent_ref, outputs, block)
        return total + plan.dot(band, cotangent, transpose_a=True)

    # So many outputs read a tile that a band of all of them would not fit.
    @tile.each_block(first=0)
    def _(block: Array) -> None:
        sums = sum_pixels(plan, plan.outputs, functools.partial(add, block), own)
        tile.store(grad_ref, sources, sums, block)
