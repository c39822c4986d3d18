"""The body of `grad_features`: a gather from the windows that cover a source pixel.

It iterates over the rows of anchors whose windows reach the block, and prefetches the
cotangent and the kernels of the next row while it sums. There are no atomics: results
are deterministic.
"""

import functools
import itertools
from typing import Any

from jax import lax
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.mosaic_gpu.layouts import Stride, zeros
from carafe_pallas.mosaic_gpu.plan import Plan
from carafe_pallas.mosaic_gpu.tiles import (
    channels_of,
    kernels_start,
    load_kernels,
    load_pixels,
    pixels_of,
    send_row,
    store_tile,
)

# Keyed by row of anchors, row residue, column residue and tile of the source pixels.
_Sums = dict[tuple[int, int, int, int], Array]


def grad_features_body(
    kernels_gmem: Any,
    cotangent_gmem: Any,
    out_gmem: Any,
    cotangent_smem: Any,
    raw_smem: Any,
    kernels_smem: Any,
    out_smem: Any,
    cotangent_barrier: Any,
    raw_barrier: Any,
    *,
    plan: Plan,
) -> None:
    """Write the gradient of the source pixels of a block of anchors and channels."""
    run, channels = plan.reader_kernels, channels_of(plan)
    low, high = plan.call.geometry.rows.reader_shifts
    group = lax.div(channels.start, plan.group_channels)
    row = lax.axis_index("rows") * plan.config.rows + low
    column = lax.axis_index("columns") * plan.anchors + low

    # Double buffering: one slot is filled while the other is read.
    def fetch(step: int) -> None:
        slot = step % 2
        start = kernels_start(plan, run, row + step, column)
        run.fetch(kernels_gmem, raw_smem.at[slot], raw_barrier.at[slot], start)
        gmem = pixels_of(
            plan,
            cotangent_gmem,
            plan.readers,
            channels,
            skip=step * plan.up,
            height=plan.up,
        )
        plgpu.copy_gmem_to_smem(
            gmem, cotangent_smem.at[slot], cotangent_barrier.at[slot]
        )

    sums = _zeros(plan)
    fetch(0)
    steps = plan.config.rows + high - low
    for step in range(steps):
        slot = step % 2
        # All threads must have read the slot that is filled next, and the kernels of
        # the previous row, which are overwritten.
        plgpu.commit_smem()
        if step + 1 < steps:
            fetch(step + 1)
        # The cotangent may still be in flight while the kernels are normalised.
        plgpu.barrier_wait(raw_barrier.at[slot])
        # The array is flat: past a row of the map, the copy has kernels of other rows.
        valid = run.exists(row + step, column)
        start = kernels_start(plan, run, row + step, column)
        run.normalize(raw_smem, slot, group, start, kernels_smem, valid)
        plgpu.barrier_wait(cotangent_barrier.at[slot])
        # Threads read kernels that other threads have normalised.
        plgpu.commit_smem()
        sums = _add_readers(plan, cotangent_smem.at[slot], kernels_smem, step, sums)
    _send(plan, sums, out_smem, out_gmem)


def _zeros(plan: Plan) -> _Sums:
    # Sums stay in registers from the first row of anchors to the last.
    shape = plan.tile.pixels, plan.config.channels
    nothing = zeros(shape, plan.tile.layout, interpret=plan.interpret)
    residues = range(plan.down)
    keys = itertools.product(
        range(plan.config.rows), residues, residues, range(plan.config.tiles)
    )
    return dict.fromkeys(keys, nothing)


def _add_readers(
    plan: Plan, cotangent_smem: Any, kernels_smem: Any, step: int, sums: _Sums
) -> _Sums:
    """Add the products of the windows of one row of anchors to the sums."""
    add = functools.partial(_add_phases, plan, cotangent_smem, kernels_smem, step)
    if plan.down == 1:
        # All rows of phases read the same source rows: a loop keeps the code short.
        return lax.fori_loop(0, plan.up, functools.partial(add, like=0), sums)
    for p in range(plan.up):
        sums = add(p, sums, like=p)
        # Without this, the compiler loads all rows of anchors before it sums any.
        kept = lax.optimization_barrier(list(sums.values()))
        sums = dict(zip(sums, kept, strict=True))
    return sums


def _add_phases(
    plan: Plan,
    cotangent_smem: Any,
    kernels_smem: Any,
    step: int,
    p: Any,
    sums: _Sums,
    *,
    like: int,
) -> _Sums:
    """Add the products of phase row `p`, which reads the same rows as `like` does.

    `p` may be traced; `like` is static.
    """
    low, high = plan.call.geometry.columns.reader_shifts
    rows, k, sums = (
        _read_rows(plan, step, like),
        plan.call.geometry.kernel_size,
        {**sums},
    )
    for tile in range(plan.config.tiles):
        for shift, q in itertools.product(range(low, high + 1), range(plan.up)):
            columns = _read_columns(plan, shift, q)
            if not (rows and columns):
                continue
            anchor = tile * plan.tile.pixels + shift - low
            stride = Stride(plan.tile.pixels, plan.up, anchor, q)
            cotangent = load_pixels(plan, cotangent_smem, p, stride)
            for row, y, dy in rows:
                for x, dx in columns:
                    kernels = load_kernels(
                        plan, kernels_smem, dy * k + dx, anchor, p * plan.up + q
                    )
                    key = row, y, x, tile
                    sums[key] = sums[key] + kernels * cotangent
    return sums


def _read_rows(plan: Plan, step: int, phase: int) -> list[tuple[int, int, int]]:
    """Return (row, residue, tap) of the source rows that a row of phases reads."""
    rows = plan.call.geometry.rows
    low, _ = rows.reader_shifts
    return [
        (row, residue, tap)
        for row in range(plan.config.rows)
        for residue in range(plan.down)
        for shift, p, tap in rows.readers(residue)
        if p == phase and row + shift == step + low
    ]


def _read_columns(plan: Plan, shift: int, phase: int) -> list[tuple[int, int]]:
    """Return (residue, tap) of the source columns that shifted anchors' phase reads."""
    columns = plan.call.geometry.columns
    return [
        (residue, tap)
        for residue in range(plan.down)
        for s, q, tap in columns.readers(residue)
        if (s, q) == (shift, phase)
    ]


def _send(plan: Plan, sums: _Sums, out_smem: Any, out_gmem: Any) -> None:
    """Copy the sums to device memory, a row of source pixels at a time."""
    down = plan.down
    for row in range(plan.config.rows):
        for y in range(down):
            # The copy of the previous row must have read what is overwritten next.
            if row + y > 0:
                plgpu.wait_smem_to_gmem(0, wait_read_only=True)
            for tile in range(plan.config.tiles):
                for x in range(down):
                    store_tile(plan, out_smem, tile, down, x, sums[row, y, x, tile])
            # TMA reads what all threads have written.
            plgpu.commit_smem()
            at = (lax.axis_index("rows") * plan.config.rows + row) * down + y
            send_row(plan, out_smem, out_gmem, plan.source, at)
    # Shared memory must outlive the copies from it.
    plgpu.wait_smem_to_gmem(0)
