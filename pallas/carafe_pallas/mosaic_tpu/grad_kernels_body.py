"""The body of `grad_kernels`: cotangent @ patch^T, from which the taps are gathered.

Each block of channels adds to sums in VMEM. The last one pulls them back through the
normalizer, and writes them.
"""

import functools
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl

from carafe_pallas.mosaic_tpu.kernels import by_range, load_logits, reads
from carafe_pallas.mosaic_tpu.lanes import collect, rotate_lanes
from carafe_pallas.mosaic_tpu.plan import Plan
from carafe_pallas.mosaic_tpu.segments import Segments, pull_back
from carafe_pallas.mosaic_tpu.tiles import (
    by_strip,
    each_group,
    load_cotangent,
    patch,
    select_group,
    strip_of,
)


def grad_kernels_body(
    rows_ref: Any,
    collect_ref: Any,
    same_segment_ref: Any,
    features_ref: Any,
    cotangent_ref: Any,
    *refs: Any,
    plan: Plan,
) -> None:
    """Write the gradient of the kernels of a block, or of their logits."""
    *logits_ref, out_ref, sums_ref = refs
    block = pl.program_id(1)

    # VMEM still holds the sums of the previous block.
    @pl.when(pl.program_id(2) == 0)
    def _start() -> None:
        sums_ref[...] = jnp.zeros_like(sums_ref)

    def run_strip(row: Any, strip: int) -> None:
        anchor = block * plan.config.rows + row
        pixels = patch(plan, features_ref, anchor=anchor, block=block, strip=strip)
        cotangent = load_cotangent(
            plan, cotangent_ref, row=row, anchor=anchor, strip=strip
        )

        # A dot product over all channels would mix the groups.
        def run_group(group: Any) -> Any:
            mine = cotangent
            if plan.block_groups > 1:
                mine = select_group(plan, cotangent, group, jnp.zeros_like(cotangent))
            products = plan.dot(mine, pixels, (1, 1))
            taps = collect(plan, products, collect_ref, strip=strip)
            return rotate_lanes(plan, taps, group, back=True)

        taps = each_group(plan, 2, run_group, lambda a, b, _: a + b)
        sums_ref[row, strip_of(plan, strip), :] += taps

    by_strip(plan, run_strip)

    # The normalizer's VJP needs complete sums, over all channels.
    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _finish() -> None:
        logits = logits_ref[0] if logits_ref else None
        finish = functools.partial(
            _finish_block, plan, rows_ref, logits, sums_ref, out_ref, block
        )
        by_range(plan, logits, rows_ref, same_segment_ref, block=block, run=finish)


def _finish_block(
    plan: Plan,
    rows_ref: Any,
    logits_ref: Any,
    sums_ref: Any,
    out_ref: Any,
    block: Any,
    segments: Segments,
) -> None:
    def finish_row(row: Any) -> None:
        anchor = block * plan.config.rows + row
        # For rows outside the map, the patch has other rows (`tiles.patch`): drop them.
        gradient = jnp.where(reads(plan, rows_ref, anchor), sums_ref[row], 0)
        if plan.normalizer is not None:
            logits = load_logits(plan, logits_ref, rows_ref, segments, row, anchor)
            gradient = pull_back(gradient, logits, segments)
        out_ref[0, row] = gradient.astype(out_ref.dtype)

    plan.each_row(finish_row)
