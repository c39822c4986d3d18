"""Pixels and kernels of a block: their addresses, copies, loads and stores."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

from carafe_pallas.mosaic_gpu.kernels import AnchorRun
from carafe_pallas.mosaic_gpu.layouts import Stride, load, repeat_over_channels, store
from carafe_pallas.mosaic_gpu.plan import Box, Plan


def channels_of(plan: Plan) -> Any:
    """Return the channels of this block."""
    return pl.ds(
        lax.axis_index("channels") * plan.config.channels, plan.config.channels
    )


def pixels_of(
    plan: Plan,
    gmem: Any,
    boxes: tuple[Box, Box],
    channels: Any,
    *,
    skip: int = 0,
    height: int | None = None,
) -> Any:
    """Return the pixels of this block in device memory; `height` rows after `skip`."""
    # A box may begin and end outside the map, where TMA fills in zeros.
    rows, columns = boxes
    row = rows.start(lax.axis_index("rows"), interpret=plan.interpret) + skip
    column = columns.start(lax.axis_index("columns"), interpret=plan.interpret)
    height = rows.size if height is None else height
    image = lax.axis_index("images")
    return gmem.at[image, pl.ds(row, height), pl.ds(column, columns.size), channels]


def kernels_start(plan: Plan, run: AnchorRun, row: Any, column: Any) -> Any:
    """Return the offset of the kernels of the anchors from (row, column) on."""
    rows, columns = plan.call.geometry.rows, plan.call.geometry.columns
    anchor = (lax.axis_index("images") * rows.anchors + row) * columns.anchors + column
    margin = plan.kernels_margin if plan.interpret else 0
    return anchor * run.anchor_stride + margin


def own_start(plan: Plan, row: Any) -> Any:
    """Return the offset of the kernels of a row of anchors of this block."""
    row = lax.axis_index("rows") * plan.config.rows + row
    column = lax.axis_index("columns") * plan.anchors
    return kernels_start(plan, plan.own_kernels, row, column)


def fetch_own_kernels(
    plan: Plan, kernels_gmem: Any, raw_smem: Any, barrier: Any
) -> None:
    """Start the copies of the kernels of all anchors of this block."""

    @pl.loop(0, plan.config.rows)
    def _(row):
        slot, start = raw_smem.at[row], own_start(plan, row)
        plan.own_kernels.fetch(kernels_gmem, slot, barrier.at[row], start)


def window_columns(plan: Plan, anchor: int) -> list[tuple[int, range, Stride]]:
    """Return (tap, phases, stride) of each column of the windows of a tile."""
    columns = plan.call.geometry.columns
    found = []
    for offset, phases in columns.phase_runs:
        for dx in range(columns.kernel_size):
            ahead, remainder = divmod(offset + dx, plan.down)
            stride = Stride(plan.tile.pixels, plan.down, anchor + ahead, remainder)
            found.append((dx, range(phases.start, phases.stop), stride))
    return found


def load_pixels(plan: Plan, smem: Any, row: Any, stride: Stride) -> Array:
    """Load a tile of a row of pixels, in float32."""
    tile = load(smem, (row,), stride, layout=plan.tile.layout, interpret=plan.interpret)
    return tile.astype(jnp.float32)


def load_kernels(
    plan: Plan, kernels_smem: Any, tap: Any, anchor: int, phase: Any
) -> Array:
    """Load one tap for each pixel of a tile, repeated over the channels."""
    stride = Stride(plan.tile.pixels, plan.phases, anchor, phase)
    layout = plan.tile.pixel_layout
    values = load(kernels_smem, (tap,), stride, layout=layout, interpret=plan.interpret)
    return repeat_over_channels(
        values, plan.tile, plan.config.channels, interpret=plan.interpret
    )


def store_tile(
    plan: Plan, smem: Any, tile: int, step: int, at: int, value: Array
) -> None:
    """Round a tile, and store it to every `step`-th pixel of a row, from `at` on."""
    stride = Stride(plan.tile.pixels, step, tile * plan.tile.pixels, at)
    store(smem, (), stride, value.astype(smem.dtype), interpret=plan.interpret)


def send_row(
    plan: Plan, smem: Any, gmem: Any, boxes: tuple[Box, Box], row: Any
) -> None:
    """Start the copy of a row of pixels to device memory, cropped to the map.

    TMA itself crops to the array, but not if a block has all the channels: its row is
    then copied as one contiguous piece.
    """
    rows, columns = boxes
    block = lax.axis_index("columns")

    def send(pixels: int) -> None:
        at = pl.ds(block * columns.size, pixels)
        pixels_gmem = gmem.at[lax.axis_index("images"), row, at, channels_of(plan)]
        plgpu.copy_smem_to_gmem(smem.at[pl.ds(0, pixels)], pixels_gmem)

    last = columns.extent - (columns.blocks - 1) * columns.size

    @pl.when((row < rows.extent) & (block < columns.blocks - 1))
    def _():
        send(columns.size)

    @pl.when((row < rows.extent) & (block == columns.blocks - 1))
    def _():
        send(last)
