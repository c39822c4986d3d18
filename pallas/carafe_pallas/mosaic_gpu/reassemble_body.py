"""The body of `reassemble`: each thread sums the windows of its pixels over the taps.

Windows are walked a row of taps at a time, so that little of them waits in registers.
"""

from typing import Any

from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.mosaic_gpu.layouts import full
from carafe_pallas.mosaic_gpu.plan import Plan
from carafe_pallas.mosaic_gpu.tiles import (
    channels_of,
    fetch_own_kernels,
    own_start,
    pixels_of,
    put,
    read_kernels,
    read_pixels,
    send_row,
    window_columns,
)

_SUMS = 64  # Registers of a thread for sums, of 255.


def reassemble_body(
    features_gmem: Any,
    kernels_gmem: Any,
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
    """Write the output pixels of a block of anchors and of channels."""
    channels, run = channels_of(plan), plan.own_kernels
    # All copies start before any is waited for.
    fetch_own_kernels(plan, kernels_gmem, raw_smem, raw_barrier)
    patch_gmem = pixels_of(plan, features_gmem, plan.patch, channels)
    plgpu.copy_gmem_to_smem(patch_gmem, patch_smem, patch_barrier)
    plgpu.barrier_wait(patch_barrier)
    group = lax.div(channels.start, plan.group_channels)

    @pl.loop(0, plan.config.rows)
    def _(row):
        # The kernels of each row of anchors have a barrier of their own: the first row
        # does not wait for the last.
        plgpu.barrier_wait(raw_barrier.at[row])
        # Every thread is done with the kernels of the row before.
        plgpu.commit_smem()
        run.normalize(raw_smem, row, group, own_start(plan, row), kernels_smem)
        # A thread reads kernels that others have normalised.
        plgpu.commit_smem()
        _write_row(plan, patch_smem, kernels_smem, out_smem, out_gmem, row)

    # Shared memory must outlive the copies from it.
    plgpu.wait_smem_to_gmem(0)


def _write_row(
    plan: Plan,
    patch_smem: Any,
    kernels_smem: Any,
    out_smem: Any,
    out_gmem: Any,
    row: Any,
) -> None:
    """Sum the windows of a row of anchors, and start to copy the sums out."""
    first = (lax.axis_index("rows") * plan.config.rows + row) * plan.up
    for phase_rows in _phase_row_groups(plan):
        for tile in range(plan.config.tiles):
            sums = _sum_windows(plan, patch_smem, kernels_smem, row, tile, phase_rows)
            # Copies of the rows before read what is written next; they had the time of
            # the sums to do so.
            if tile == 0:
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            for p, row_sums in zip(phase_rows, sums, strict=True):
                for q, value in enumerate(row_sums):
                    put(plan, out_smem.at[p], tile, plan.up, q, value)
        # The copy engine reads what all threads have written.
        plgpu.commit_smem()
        for p in phase_rows:
            send_row(plan, out_smem.at[p], out_gmem, plan.output, first + p)


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
            for dx, qs, stride in window_columns(plan, anchor):
                # Read once for all the phases whose windows begin at this pixel.
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
