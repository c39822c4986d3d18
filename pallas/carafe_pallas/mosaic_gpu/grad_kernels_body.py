"""The body of `grad_kernels`: dot products of output pixels with their windows.

It loops over the rows of taps, so that few loaded pixels are in registers at once. A
block loops over all channels, so that no other block adds to its sums.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.mosaic_gpu.layouts import Stride, load, store
from carafe_pallas.mosaic_gpu.normalizers import pull_back
from carafe_pallas.mosaic_gpu.plan import Plan
from carafe_pallas.mosaic_gpu.tiles import (
    fetch_own_kernels,
    load_pixels,
    own_start,
    pixels_of,
    window_columns,
)


def grad_kernels_body(*refs: Any, plan: Plan) -> None:
    """Write the gradient of the kernels of a block of anchors, or of their logits."""
    # Without a normalizer there are no logits.
    features_gmem, cotangent_gmem, *logits_gmem = refs[:-8]
    out_gmem, patch_smem, cotangent_smem, raw_smem, sums_smem, out_smem = refs[-8:-2]
    box_barrier, raw_barrier = refs[-2:]
    # Requested first, because they are needed last.
    if logits_gmem:
        fetch_own_kernels(plan, logits_gmem[0], raw_smem, raw_barrier)
    for group in range(plan.call.geometry.groups):

        @pl.loop(0, plan.group_channels // plan.config.channels)
        def _(block, group=group):
            # All threads must have read the boxes, which are overwritten next, and be
            # done with the sums so far.
            plgpu.commit_smem()
            first = group * plan.group_channels + block * plan.config.channels
            channels = pl.ds(first, plan.config.channels)
            # One barrier for both boxes: neither is of use alone.
            for gmem, boxes, smem in (
                (features_gmem, plan.patch, patch_smem),
                (cotangent_gmem, plan.output, cotangent_smem),
            ):
                box_gmem = pixels_of(plan, gmem, boxes, channels)
                plgpu.copy_gmem_to_smem(box_gmem, smem, box_barrier)
            plgpu.barrier_wait(box_barrier)
            _dot_block(plan, patch_smem, cotangent_smem, sums_smem, block)

        # Threads read sums that other threads have written.
        plgpu.commit_smem()

        @pl.loop(0, plan.config.rows)
        def _(row, group=group):
            # The logits of all groups are fetched together: wait for them once.
            if logits_gmem and group == 0:
                plgpu.barrier_wait(raw_barrier.at[row])
            _finish_row(plan, raw_smem, sums_smem, out_smem, row, group)

    # TMA reads what all threads have written.
    plgpu.commit_smem()
    _send_kernels(plan, out_smem, out_gmem)
    # Shared memory must outlive the copies from it.
    plgpu.wait_smem_to_gmem(0)


def _dot_block(
    plan: Plan, patch_smem: Any, cotangent_smem: Any, sums_smem: Any, block: Any
) -> None:
    """Add the products over a block of channels to the sums of all anchors."""

    @pl.loop(0, plan.config.rows)
    def _(row):
        for tile in range(plan.config.tiles):
            for p in range(plan.up):
                _dot_windows(
                    plan,
                    patch_smem,
                    cotangent_smem,
                    sums_smem,
                    (row, p, tile),
                    block=block,
                )


def _dot_windows(
    plan: Plan,
    patch_smem: Any,
    cotangent_smem: Any,
    sums_smem: Any,
    place: tuple[Any, int, int],
    *,
    block: Any,
) -> None:
    """Add the products over a block of channels to the sums of a row of phases."""
    row, p, tile = place
    rows, k = plan.call.geometry.rows, plan.call.geometry.kernel_size
    anchor, pixels = tile * plan.tile.pixels, plan.tile.pixels
    whole = plan.group_channels == plan.config.channels
    # Loaded once, and kept in registers for all taps.
    cotangents = [
        load_pixels(
            plan, cotangent_smem, row * plan.up + p, Stride(pixels, plan.up, anchor, q)
        )
        for q in range(plan.up)
    ]

    @pl.loop(0, k)
    def _(dy):
        at = row * plan.down + rows.offsets[p] + dy
        found = []
        for dx, qs, stride in window_columns(plan, anchor):
            patch = load_pixels(plan, patch_smem, at, stride)
            for q in qs:
                value = jnp.sum(patch * cotangents[q], axis=1)
                phase = p * plan.up + q
                where = Stride(pixels, plan.phases, anchor, phase)
                found.append(((row, dy * k + dx), where, value))
        # A group of a single block of channels has no earlier sums to add.
        if not whole:
            found = [
                (lead, where, value + _before(plan, sums_smem, lead, where, block))
                for lead, where, value in found
            ]
            # All lanes of a pixel store its sum: first, all must have loaded it.
            plgpu.commit_smem()
        for lead, where, value in found:
            store(sums_smem, lead, where, value, interpret=plan.interpret)


def _before(plan: Plan, sums_smem: Any, lead: Any, where: Stride, block: Any) -> Array:
    """Return the sums over the previous blocks of channels of the group."""
    layout = plan.tile.pixel_layout
    before = load(sums_smem, lead, where, layout=layout, interpret=plan.interpret)
    # For the first block, memory still holds the sums of another group or launch.
    return jnp.where(block > 0, before, 0.0)


def _finish_row(
    plan: Plan, raw_smem: Any, sums_smem: Any, out_smem: Any, row: Any, group: int
) -> None:
    """Write the gradient of a row of anchors and a group from its sums."""
    run = plan.own_kernels
    # A thread holds all taps of its kernels, so that no reduction crosses threads.
    gradient = [
        load(
            sums_smem,
            (row, tap),
            Stride(run.rows),
            layout=run.layout,
            interpret=plan.interpret,
        )
        for tap in range(run.taps)
    ]
    if plan.call.normalizer is not None:
        logits = run.logits(raw_smem, row, group, own_start(plan, row))
        gradient = pull_back(gradient, logits, plan.call.normalizer)
    anchor_row = lax.axis_index("rows") * plan.config.rows + row
    valid = run.exists(anchor_row, lax.axis_index("columns") * plan.anchors)
    for tap, value in enumerate(gradient):
        # Phases past the map get zero, whatever their logits are.
        value = jnp.where(valid, value, 0.0).astype(out_smem.dtype)
        where = Stride(run.rows, run.row_stride, 0, group * run.taps + tap)
        store(out_smem, (row,), where, value, interpret=plan.interpret)


def _send_kernels(plan: Plan, out_smem: Any, out_gmem: Any) -> None:
    """Start the copies of the gradient to rows that are padded to whole blocks."""
    run, anchors = plan.own_kernels, plan.call.geometry.rows.anchors

    @pl.loop(0, plan.config.rows)
    def _(row):
        anchor_row = lax.axis_index("rows") * plan.config.rows + row

        # The array is padded on the right of the map, but not below it.
        @pl.when(anchor_row < anchors)
        def _():
            line = lax.axis_index("images") * anchors + anchor_row
            first = line * plan.padded_anchors
            first = first + lax.axis_index("columns") * plan.anchors
            run.send(out_smem.at[row], out_gmem, first * run.anchor_stride)
