"""The body of `grad_kernels`: a band of cotangent @ features^T, over all channels."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from carafe_pallas.triton.kernels import pull_back, store_band
from carafe_pallas.triton.plan import Plan, padded
from carafe_pallas.triton.tiles import Tile


def grad_kernels_body(
    features_ref: Any, cotangent_ref: Any, *refs: Any, plan: Plan
) -> None:
    """Write the gradient of the kernels of a tile, or of their logits."""
    *logits_ref, grad_ref = refs
    tile = Tile.of_program(plan)
    outputs = tile.pixels(plan.outputs, jnp.arange(padded(plan.outputs)))
    sources = tile.pixels(plan.sources, jnp.arange(padded(plan.sources)))

    def add(block: Array | int, total: Array) -> Array:
        cotangent = tile.load(cotangent_ref, outputs, block)
        features = tile.load(features_ref, sources, block)
        return total + plan.dot(cotangent, features, transpose_b=True)

    # One program loops over all channels of a group, so no other adds to its sums.
    total = jnp.zeros((padded(plan.outputs), padded(plan.sources)), jnp.float32)
    gradient = lax.fori_loop(0, plan.blocks, add, total)
    # A row of the band has all taps of a kernel, as the normalizer's VJP needs.
    if logits_ref:
        gradient = pull_back(tile, logits_ref[0], outputs, sources, gradient)
    store_band(tile, grad_ref, outputs, sources, gradient)
