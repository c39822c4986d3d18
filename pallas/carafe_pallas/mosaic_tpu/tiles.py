"""Pixels of a block: patches of features, phases of outputs, strips and groups."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from carafe_pallas.mosaic_tpu.plan import Plan


def by_strip(plan: Plan, run: Callable[[Any, int], None]) -> None:
    """Call `run` for each row of a block and each of its strips."""

    def run_row(row: Any) -> None:
        # Unrolled, because the slices of a strip must be static.
        for strip in range(plan.bands.strips):
            run(row, strip)

    plan.each_row(run_row)


def strip_of(plan: Plan, strip: int) -> slice:
    """Return the anchors of a strip."""
    return slice(strip * plan.config.strip, (strip + 1) * plan.config.strip)


def each_group(
    plan: Plan, axis: int, run: Callable[[Any], Any], join: Callable[..., Any]
) -> Any:
    """Call `run` for each group of this block of channels, and join the results."""
    result = run(_first_group(plan, axis))
    if plan.block_groups == 1:
        return result
    return lax.fori_loop(
        1,
        plan.block_groups,
        lambda group, result: join(result, run(group), group),
        result,
    )


def _first_group(plan: Plan, axis: int) -> Any:
    """Return the first group of this block of channels."""
    if plan.block_groups > 1:
        return 0
    return lax.div(pl.program_id(axis), plan.group_channels // plan.config.channels)


def select_group(plan: Plan, x: Any, group: Any, other: Any) -> Any:
    """Return the channels of a group from x, the rest from `other`."""
    first, count = group * plan.group_channels, plan.group_channels
    lane = lax.broadcasted_iota(jnp.int32, x.shape, 1)
    return jnp.where((lane >= first) & (lane < first + count), x, other)


def patch(plan: Plan, features_ref: Any, *, anchor: Any, block: Any, strip: int) -> Any:
    """Return the patch of a strip: (pixels, channels)."""
    bands, rows = plan.bands, plan.geometry.rows
    first = bands.first_column(strip)
    columns = slice(first, first + bands.columns)
    parts = []
    for i in range(bands.reach):
        # Taps outside the map have weight zero, so that any row of the map will do.
        y = jnp.clip(anchor * rows.down - rows.radius + i, 0, rows.size - 1)
        parts.append(features_ref[0, y - plan.first_source_row(block), columns, :])
    # Zeros, because the zeros of the band times undefined pixels could be NaN.
    unused = bands.pixels - bands.reach * bands.columns
    if unused:
        parts.append(jnp.zeros((unused, parts[0].shape[-1]), parts[0].dtype))
    return jnp.concatenate(parts).astype(plan.product_dtype)


def interleave(plan: Plan, parts: list[Any], dtype: Any) -> Any:
    """Interleave the column phases to output columns."""
    if len(parts) == 1:
        return parts[0].astype(dtype)
    if len(parts) == 2 and dtype == jnp.bfloat16 and not plan.interpret:
        # Two bfloat16 rows share a 32-bit sublane: packing interleaves them.
        return pltpu.bitcast(pltpu.pack_elementwise(parts, packed_dtype=dtype), dtype)
    stacked = jnp.stack(parts, axis=1)
    return stacked.reshape(-1, stacked.shape[-1]).astype(dtype)


def load_cotangent(
    plan: Plan, cotangent_ref: Any, *, row: Any, anchor: Any, strip: int
) -> Any:
    """Return the cotangents of a strip by phase: (phases * strip, channels)."""
    up, width = plan.bands.up, plan.config.strip * plan.bands.up
    rows, columns = plan.geometry.rows, plan.geometry.columns
    first = strip * width
    phases = []
    for py in range(up):
        x = cotangent_ref[0, row * up + py, first : first + width, :]
        for px, phase in enumerate(_deinterleave(plan, x)):
            anchors = lax.broadcasted_iota(jnp.int32, phase.shape, 0)
            column = (strip * plan.config.strip + anchors) * up + px
            exists = column < columns.output_size
            exists = exists & (anchor * up + py < rows.output_size)
            # A block may exceed the array, where its values may be NaN.
            phases.append(jnp.where(exists, phase, 0).astype(plan.product_dtype))
    return jnp.concatenate(phases)


def _deinterleave(plan: Plan, x: Any) -> list[Any]:
    up = plan.bands.up
    if up == 1:
        return [x.astype(jnp.float32)]
    if up == 2 and x.dtype == jnp.bfloat16 and not plan.interpret:
        # A bfloat16 is the upper half of a float32: a shift or a mask converts it.
        pairs = pltpu.bitcast(x, jnp.uint32)
        halves = pairs << 16, pairs & jnp.uint32(0xFFFF0000)
        return [lax.bitcast_convert_type(half, jnp.float32) for half in halves]
    split = x.astype(jnp.float32).reshape(-1, up, x.shape[-1])
    return [split[:, phase] for phase in range(up)]
