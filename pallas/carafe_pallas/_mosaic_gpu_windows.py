"""Kernels that walk the windows of anchors: the forward, the gradient of the weights.

Windows are walked a row of taps at a time, so that little of them waits in registers.
"""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas._mosaic_gpu_blocks import (
    channels_of,
    fetch_own_weights,
    own_start,
    pixels_of,
    put,
    read_kernels,
    read_pixels,
    send_row,
)
from carafe_pallas._mosaic_gpu_plan import Plan
from carafe_pallas._mosaic_gpu_tiles import Stride, full, load, store

_SUMS = 64  # Registers of a thread for sums, of 255.


def reassemble_kernel(
    features_gmem: Any,
    weights_gmem: Any,
    out_gmem: Any,
    patch_smem: Any,
    raw_smem: Any,
    kernels_smem: Any,
    out_smem: Any,
    patch_barrier: Any,
    raw_barrier: Any,
    *,
    plan: Plan,
) -> None:
    channels, run = channels_of(plan), plan.own_weights
    fetch_own_weights(plan, weights_gmem, raw_smem, raw_barrier)
    patch_gmem = pixels_of(plan, features_gmem, plan.patch, channels)
    plgpu.copy_gmem_to_smem(patch_gmem, patch_smem, patch_barrier)
    plgpu.barrier_wait(patch_barrier)
    group = lax.div(channels.start, plan.group_channels)

    @pl.loop(0, plan.config.rows)
    def _(row):
        plgpu.barrier_wait(raw_barrier.at[row])
        # Every thread is done with the kernels of the row before.
        plgpu.commit_smem()
        run.normalize(raw_smem, row, group, own_start(plan, row), kernels_smem)
        plgpu.commit_smem()
        first = (lax.axis_index("rows") * plan.config.rows + row) * plan.up
        for phase_rows in _phase_row_groups(plan):
            for tile in range(plan.config.tiles):
                sums = _sum_windows(
                    plan, patch_smem, kernels_smem, row, tile, phase_rows
                )
                if tile == 0:
                    plgpu.wait_smem_to_gmem(0, wait_read_only=True)
                for p, row_sums in zip(phase_rows, sums, strict=True):
                    for q, value in enumerate(row_sums):
                        put(plan, out_smem.at[p], tile, plan.up, q, value)
            plgpu.commit_smem()
            for p in phase_rows:
                send_row(plan, out_smem.at[p], out_gmem, plan.output, first + p)

    plgpu.wait_smem_to_gmem(0)


def _phase_row_groups(plan: Plan) -> list[range]:
    """Rows of phases whose sums fit the registers together."""
    each = plan.up * plan.config.run * plan.config.channels // plan.tile.lanes
    together = max(1, _SUMS // each)
    starts = range(0, plan.up, together)
    return [range(first, min(first + together, plan.up)) for first in starts]


def _sum_windows(
    plan: Plan,
    patch_smem: Any,
    kernels_smem: Any,
    row: Any,
    tile: int,
    phase_rows: range,
) -> list[list[Array]]:
    """Sum the windows of a tile of anchors; by row and column of the phase."""
    rows, k = plan.call.geometry.rows, plan.call.geometry.kernel_size
    anchor = tile * plan.tile.pixels

    def add_taps(dy: Any, sums: list[list[Array]]) -> list[list[Array]]:
        sums = [list(row_sums) for row_sums in sums]
        for offset, phases in rows.phase_runs:
            here = [p for p in phase_rows if phases.start <= p < phases.stop]
            if not here:
                continue
            at = row * plan.down + offset + dy
            for dx, qs, stride in _window_columns(plan, anchor):
                pixels = read_pixels(plan, patch_smem, at, stride)
                for p in here:
                    for q in qs:
                        kernels = read_kernels(
                            plan, kernels_smem, dy * k + dx, anchor, p * plan.up + q
                        )
                        i = p - phase_rows.start
                        sums[i][q] = sums[i][q] + kernels * pixels
        return sums

    shape = plan.tile.pixels, plan.config.channels
    zeros = full(shape, plan.tile.layout, interpret=plan.interpret)
    return lax.fori_loop(0, k, add_taps, [[zeros] * plan.up for _ in phase_rows])


def _window_columns(plan: Plan, anchor: int) -> list[tuple[int, range, Stride]]:
    """(tap, phases, where) of the columns that the windows of a tile read."""
    columns = plan.call.geometry.columns
    found = []
    for offset, phases in columns.phase_runs:
        for dx in range(columns.kernel_size):
            ahead, remainder = divmod(offset + dx, plan.down)
            stride = Stride(plan.tile.pixels, plan.down, anchor + ahead, remainder)
            found.append((dx, range(phases.start, phases.stop), stride))
    return found


def grad_kernels_kernel(*refs: Any, plan: Plan) -> None:
    normalized = plan.call.normalizer is not None
    features_gmem, cotangent_gmem = refs[:2]
    weights_gmem = refs[2] if normalized else None
    out_gmem, patch_smem, cotangent_smem, raw_smem, sums_smem, out_smem = refs[-8:-2]
    box_barrier, raw_barrier = refs[-2:]
    if normalized:
        fetch_own_weights(plan, weights_gmem, raw_smem, raw_barrier)
    for group in range(plan.call.geometry.groups):

        @pl.loop(0, plan.group_channels // plan.config.channels)
        def _(block, group=group):
            # Every thread is done with the boxes, and with the sums so far.
            plgpu.commit_smem()
            first = group * plan.group_channels + block * plan.config.channels
            channels = pl.ds(first, plan.config.channels)
            for gmem, boxes, smem in (
                (features_gmem, plan.patch, patch_smem),
                (cotangent_gmem, plan.output, cotangent_smem),
            ):
                box_gmem = pixels_of(plan, gmem, boxes, channels)
                plgpu.copy_gmem_to_smem(box_gmem, smem, box_barrier)
            plgpu.barrier_wait(box_barrier)

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

        plgpu.commit_smem()

        @pl.loop(0, plan.config.rows)
        def _(row, group=group):
            if normalized and group == 0:
                plgpu.barrier_wait(raw_barrier.at[row])
            _pull_back(plan, raw_smem, sums_smem, out_smem, row, group)

    plgpu.commit_smem()
    _send_weights(plan, out_smem, out_gmem)
    plgpu.wait_smem_to_gmem(0)


def _dot_windows(
    plan: Plan,
    patch_smem: Any,
    cotangent_smem: Any,
    sums_smem: Any,
    place: tuple[Any, int, int],
    *,
    block: Any,
) -> None:
    """Add what a block of channels gives to the weights of a row of phases."""
    row, p, tile = place
    rows, k = plan.call.geometry.rows, plan.call.geometry.kernel_size
    anchor, pixels = tile * plan.tile.pixels, plan.tile.pixels
    whole = plan.group_channels == plan.config.channels
    cotangents = [
        read_pixels(
            plan, cotangent_smem, row * plan.up + p, Stride(pixels, plan.up, anchor, q)
        )
        for q in range(plan.up)
    ]

    @pl.loop(0, k)
    def _(dy):
        at = row * plan.down + rows.offsets[p] + dy
        found = []
        for dx, qs, stride in _window_columns(plan, anchor):
            patch = read_pixels(plan, patch_smem, at, stride)
            for q in qs:
                value = jnp.sum(patch * cotangents[q], axis=1)
                where = Stride(pixels, plan.up**2, anchor, p * plan.up + q)
                found.append(((row, dy * k + dx), where, value))
        if not whole:
            found = [
                (lead, where, value + _before(plan, sums_smem, lead, where, block))
                for lead, where, value in found
            ]
            # All lanes of a pixel hold its sums and write them.
            plgpu.commit_smem()
        for lead, where, value in found:
            store(sums_smem, lead, where, value, interpret=plan.interpret)


def _before(plan: Plan, sums_smem: Any, lead: Any, where: Stride, block: Any) -> Array:
    """The sums over the blocks of channels before this one."""
    layout = plan.tile.pixel_layout
    before = load(sums_smem, lead, where, layout=layout, interpret=plan.interpret)
    return jnp.where(block > 0, before, 0.0)


def _pull_back(
    plan: Plan, raw_smem: Any, sums_smem: Any, out_smem: Any, row: Any, group: int
) -> None:
    """Turn the sums of one group into its gradient."""
    run = plan.own_weights
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
        gradient = run.pull_back(gradient, logits)
    anchor_row = lax.axis_index("rows") * plan.config.rows + row
    mask = run.exists(anchor_row, lax.axis_index("columns") * plan.anchors)
    for tap, value in enumerate(gradient):
        # Phases that do not exist: whatever their weights are.
        value = jnp.where(mask, value, 0.0).astype(out_smem.dtype)
        where = Stride(run.rows, run.row_stride, 0, group * run.taps + tap)
        store(out_smem, (row,), where, value, interpret=plan.interpret)


def _send_weights(plan: Plan, out_smem: Any, out_gmem: Any) -> None:
    """Copy the gradient to rows of whole blocks."""
    run, anchors = plan.own_weights, plan.call.geometry.rows.anchors

    @pl.loop(0, plan.config.rows)
    def _(row):
        anchor_row = lax.axis_index("rows") * plan.config.rows + row

        @pl.when(anchor_row < anchors)
        def _():
            line = lax.axis_index("images") * anchors + anchor_row
            first = line * plan.padded_anchors
            first = first + lax.axis_index("columns") * plan.anchors
            run.send(out_smem.at[row], out_gmem, first * run.anchor_stride)
