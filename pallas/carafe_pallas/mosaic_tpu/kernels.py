"""The kernels of a block of anchors: loaded, normalised, and masked at the edges.

`kernels_ref` holds logits if the launch has a normalizer. Taps above and below the map
are masked here; the lane tables (`tables.py`) have none to the left and right of it.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from carafe_pallas.mosaic_tpu.plan import Plan
from carafe_pallas.mosaic_tpu.segments import Segments, log_sigmoid, normalize

# The largest range of logits that share one bound: exp(-64) does not underflow.
_CLOSE = 64.0


def _row_exists(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return whether each lane of a row of anchors is a tap of an output row."""
    exists = rows_ref[4:5] > 0
    if plan.ragged_rows:
        size = plan.geometry.rows.output_size
        exists = exists & (rows_ref[1:2] + anchor * plan.bands.up < size)
    return exists


def _exists(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return whether each lane of a row of anchors is a tap of an output pixel."""
    real = _row_exists(plan, rows_ref, anchor)
    if plan.ragged_columns:
        shape = (plan.bands.anchors, plan.bands.lanes)
        column = lax.broadcasted_iota(jnp.int32, shape, 0) * plan.bands.up
        size = plan.geometry.columns.output_size
        real = real & (column + rows_ref[3:4] < size)
    return real


def reads(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return whether each tap of a row of anchors reads a row of the map."""
    rows = plan.geometry.rows
    y = rows_ref[0:1] + anchor * rows.down
    return _row_exists(plan, rows_ref, anchor) & (y >= 0) & (y < rows.size)


def load_logits(
    plan: Plan,
    logits_ref: Any,
    rows_ref: Any,
    segments: Segments,
    row: Any,
    anchor: Any,
) -> Any:
    """Load a row of logits in float32, with the filler in lanes without a logit."""
    logits = logits_ref[0, row].astype(jnp.float32)
    # A block may exceed the array, where its values are undefined, and may be NaN.
    return jnp.where(_exists(plan, rows_ref, anchor), logits, segments.filler)


def normalize_block(
    plan: Plan,
    kernels_ref: Any,
    rows_ref: Any,
    same_segment_ref: Any,
    normalized_ref: Any,
    *,
    block: Any,
) -> None:
    """Store the normalised kernels of a block; zero for taps above or below the map."""

    def run(segments: Segments) -> None:
        def run_row(row: Any) -> None:
            anchor = block * plan.config.rows + row
            if plan.normalizer is None:
                kernels = kernels_ref[0, row].astype(jnp.float32)
            else:
                logits = load_logits(plan, kernels_ref, rows_ref, segments, row, anchor)
                kernels = normalize(logits, segments)
                # Rounded like kernels that are normalised before the launch.
                kernels = kernels.astype(plan.kernels_dtype).astype(jnp.float32)
            normalized_ref[row] = jnp.where(reads(plan, rows_ref, anchor), kernels, 0)

        plan.each_row(run_row)

    by_range(plan, kernels_ref, rows_ref, same_segment_ref, block=block, run=run)


def by_range(
    plan: Plan,
    logits_ref: Any,
    rows_ref: Any,
    same_segment_ref: Any,
    *,
    block: Any,
    run: Callable[[Segments], None],
) -> None:
    """Call `run`, with cheap reductions if the block's logits are close together."""
    segments = Segments(plan, rows_ref[2:3])
    if not plan.sums_by_product:
        run(segments)
        return
    low, high = _range(plan, logits_ref, rows_ref, block=block)
    bound = log_sigmoid(high) if plan.normalizer == "normalized_sigmoid" else high
    close = high - low < _CLOSE

    # One bound for the block instead of a maximum for each segment, and sums on the
    # MXU: neither has to reduce over the lanes of one segment after the other.
    @pl.when(close)
    def _by_products() -> None:
        run(
            dataclasses.replace(
                segments, same_segment=same_segment_ref[...], bound=bound, filler=high
            )
        )

    pl.when(jnp.logical_not(close))(lambda: run(segments))


def _range(
    plan: Plan, logits_ref: Any, rows_ref: Any, *, block: Any
) -> tuple[Any, Any]:
    """Return the minimum and maximum of a block's logits, not finite if any is NaN."""

    def add_row(row: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
        logits = logits_ref[0, row].astype(jnp.float32)
        # Comparisons with NaN are false, so that the maximum could miss it, and the
        # logits would seem to be close.
        high = jnp.where(logits == logits, logits, jnp.inf)
        low = logits
        if plan.ragged_rows or plan.ragged_columns:
            real = _exists(plan, rows_ref, block * plan.config.rows + row)
            low = jnp.where(real, low, jnp.inf)
            high = jnp.where(real, high, -jnp.inf)
        # Elementwise over registers here; across sublanes and lanes once, at the end.
        shape = (-1, 8, plan.bands.lanes)
        return (
            jnp.minimum(found[0], jnp.min(low.reshape(shape), axis=0)),
            jnp.maximum(found[1], jnp.max(high.reshape(shape), axis=0)),
        )

    empty = jnp.full((8, plan.bands.lanes), jnp.inf, jnp.float32)
    low, high = lax.fori_loop(0, plan.config.rows, add_row, (empty, -empty))
    real = rows_ref[4:5] > 0
    low = jnp.min(jnp.where(real, low, jnp.inf))
    return low, jnp.max(jnp.where(real, high, -jnp.inf))
