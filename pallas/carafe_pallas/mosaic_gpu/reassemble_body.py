"""The body of `reassemble`: each thread sums the windows of its pixels over the taps.

It loops over the rows of taps, so that few loaded pixels are in registers at once.
"""

from typing import Any

from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.mosaic_gpu.layouts import zeros
from carafe_pallas.mosaic_gpu.plan import Plan
from carafe_pallas.mosaic_gpu.tiles import (
    channels_of,
    fetch_own_kernels,
    load_kernels,
    load_pixels,
    own_start,
    pixels_of,
    send_row,
    store_tile,
    window_columns,
)

_SUMS = 64  # Registers for sums, of the 255 that a thread may have.


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
    # All copies start before the first wait, so that they overlap.
    fetch_own_kernels(plan, kernels_gmem, raw_smem, raw_barrier)
    patch_gmem = pixels_of(plan, features_gmem, plan.patch, channels)
    plgpu.copy_gmem_to_smem(patch_gmem, patch_smem, patch_barrier)
    plgpu.barrier_wait(patch_barrier)
    group = lax.div(channels.start, plan.group_channels)

    @pl.loop(0, plan.config.rows)
    def _(row):
        # Each row of anchors has its own barrier: the first row need not wait for the
        # kernels of the last.
        plgpu.barrier_wait(raw_barrier.at[row])
        # All threads must have read the kernels of the previous row.
        plgpu.commit_smem()
        run.normalize(raw_smem, row, group, own_start(plan, row), kernels_smem)
        # Threads read kernels that other threads have normalised.
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
    """Sum the windows of a row of anchors, and start the copies of the sums."""
    first = (lax.axis_index("rows") * plan.config.rows + row) * plan.up
    for phase_rows in _phase_row_groups(plan):
        for tile in range(plan.config.tiles):
            sums = _sum_windows(plan, patch_smem, kernels_smem, row, tile, phase_rows)
            # The previous copies must have read what is overwritten next; they ran
            # while the windows were summed.
            if tile == 0:
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            for p, row_sums in zip(phase_rows, sums, strict=True):
                for q, value in enumerate(row_sums):
                    store_tile(plan, out_smem.at[p], tile, plan.up, q, value)
        # TMA reads what all threads have written.
        plgpu.commit_smem()
        for p in phase_rows:
            send_row(plan, out_smem.at[p], out_gmem, plan.output, first + p)


def _phase_row_groups(plan: Plan) -> list[range]:
    """Return runs of rows of phases whose sums fit in registers together."""
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
    """Return the sums of the windows of a tile, by row and column of the phase."""
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
                # Loaded once for all phases that read this pixel at this tap.
                pixels = load_pixels(plan, patch_smem, at, stride)
                for p in here:
                    for q in qs:
                        kernels = load_kernels(
                            plan, kernels_smem, dy * k + dx, anchor, p * plan.up + q
                        )
                        i = p - phase_rows.start
                        sums[i][q] = sums[i][q] + kernels * pixels
        return sums

    shape = plan.tile.pixels, plan.config.channels
    nothing = zeros(shape, plan.tile.layout, interpret=plan.interpret)
    return lax.fori_loop(0, k, add_taps, [[nothing] * plan.up for _ in phase_rows])
