"""The body of `grad_features`: the sum of overlapping patches band^T @ cotangent.

Patches of neighbouring strips and rows overlap, so they are added to rows of sums in
VMEM, which is private to a core: no atomics are needed. A row of sums is written to the
output once no later anchor adds to it. The rows are a ring buffer (`Plan.ring_row`), in
which later rows replace those that have been written.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.experimental import pallas as pl

from carafe_pallas.mosaic_tpu.kernels import normalize_block
from carafe_pallas.mosaic_tpu.lanes import rotate_lanes, spread
from carafe_pallas.mosaic_tpu.plan import Plan
from carafe_pallas.mosaic_tpu.tiles import (
    each_group,
    load_cotangent,
    select_group,
    strip_of,
)


def grad_features_body(
    rows_ref: Any,
    spread_ref: Any,
    same_segment_ref: Any,
    kernels_ref: Any,
    cotangent_ref: Any,
    out_ref: Any,
    normalized_ref: Any,
    sums_ref: Any,
    *,
    plan: Plan,
) -> None:
    """Add the patches of a block of anchors; write source rows that are complete."""
    step = pl.program_id(2)
    sums = _Sums(plan, step, sums_ref)

    # The first products add to rows to which nothing has been stored.
    @pl.when(step == 0)
    def _start() -> None:
        for row in range(sums.old):
            sums.clear(row - plan.geometry.rows.radius)

    # If there are several steps, the last has no anchors: it writes the last sums.
    @pl.when(step < plan.blocks)
    def _add() -> None:
        normalize_block(
            plan, kernels_ref, rows_ref, same_segment_ref, normalized_ref, block=step
        )
        multiply = functools.partial(
            _multiply, plan, spread_ref, normalized_ref, cotangent_ref, step
        )
        bands = plan.bands
        at_once = max(1, 8 // (bands.strips * bands.lines))
        plan.repeat(
            plan.config.rows // bands.lines,
            lambda i: _add_lines(sums, multiply, i * bands.lines),
            at_once=at_once,
        )

    # If there are several steps, no row is complete after the first.
    @pl.when(step >= plan.delay)
    def _write() -> None:
        own_rows = plan.config.rows * plan.bands.down
        plan.repeat(own_rows, functools.partial(sums.write, out_ref), at_once=4)


@dataclasses.dataclass(frozen=True)
class _Sums:
    """The ring of sums in VMEM; rows count from the first source row of a step."""

    plan: Plan
    step: Any
    ref: Any

    @property
    def product_rows(self) -> int:
        """Source rows of the anchors of one product."""
        return self.plan.bands.lines * self.plan.bands.down

    @property
    def old(self) -> int:
        """Rows of a patch to which earlier products have added."""
        return max(self.plan.bands.reach - self.product_rows, 0)

    @property
    def unread(self) -> int:
        """Source rows of a product below its patch: only later products add to them."""
        below = self.plan.bands.reach - self.plan.geometry.rows.radius
        return max(self.product_rows - below, 0)

    def clear(self, row: Any) -> None:
        place = self.plan.ring_row(self.step, row)
        self.ref[place] = jnp.zeros_like(self.ref[place])

    def add(self, rows: list[Any], columns: slice, parts: list[Any]) -> None:
        """Add parts to the first `old` rows; store the others, which have no sums."""
        # All loads come first, since the compiler cannot prove that the rows differ.
        sums = [self.ref[row, columns, :] for row in rows[: self.old]]
        parts = [*map(jnp.add, sums, parts), *parts[self.old :]]
        for row, part in zip(rows, parts, strict=True):
            self.ref[row, columns, :] = part

    def write(self, out_ref: Any, row: Any) -> None:
        """Write a source row of the block that is complete in this step."""
        plan = self.plan
        block_rows = plan.config.rows * plan.bands.down
        place = plan.ring_row(self.step, row - plan.delay * block_rows)
        # Patches begin a radius to the left of the map.
        radius, width = plan.geometry.columns.radius, plan.geometry.columns.size
        sums = self.ref[place, radius : radius + width, :]
        out_ref[0, row] = sums.astype(out_ref.dtype)


def _multiply(
    plan: Plan,
    spread_ref: Any,
    normalized_ref: Any,
    cotangent_ref: Any,
    step: Any,
    first: Any,
    strip: int,
) -> Any:
    """Return the patch of a strip of the rows of anchors from `first` on."""
    rows = [first + line for line in range(plan.bands.lines)]
    kernels = [normalized_ref[row, strip_of(plan, strip), :] for row in rows]
    load = functools.partial(load_cotangent, plan, cotangent_ref, strip=strip)
    anchor = step * plan.config.rows
    cotangent = jnp.concatenate([load(row=r, anchor=anchor + r) for r in rows])

    # The patches of the groups are summed: each is zero in the others' channels.
    def run_group(group: Any) -> Any:
        own = [rotate_lanes(plan, line, group, back=False) for line in kernels]
        mine = cotangent
        if plan.block_groups > 1:
            mine = select_group(plan, cotangent, group, jnp.zeros_like(cotangent))
        return plan.dot(spread(plan, own, spread_ref, strip=strip), mine, (0, 0))

    return each_group(plan, 1, run_group, lambda a, b, _: a + b)


def _add_lines(sums: _Sums, multiply: Callable[[Any, int], Any], row: Any) -> None:
    """Add the patches of all strips of the rows of anchors from `row` on."""
    bands, radius = sums.plan.bands, sums.plan.geometry.rows.radius
    # Pipelined by hand: each product is issued before the previous one is added.
    pixels, tails = multiply(row, 0), [None] * bands.reach
    for strip in range(bands.strips):
        last = pixels
        if strip + 1 < bands.strips:
            pixels = multiply(row, strip + 1)
        tails = _add_strip(sums, row, strip, last, tails)
    # No product stores to these rows before a later one adds to them, or before they
    # are written.
    for i in range(sums.unread):
        sums.clear(row * bands.down + bands.reach - radius + i)


def _add_strip(
    sums: _Sums, row: Any, strip: int, pixels: Any, tails: list[Any]
) -> list[Any]:
    """Add the columns that are complete; return the other columns of each patch row."""
    plan, bands = sums.plan, sums.plan.bands
    radius, own = plan.geometry.rows.radius, plan.config.strip * bands.down
    width = bands.columns
    to = [
        plan.ring_row(sums.step, row * bands.down + i - radius)
        for i in range(bands.reach)
    ]
    parts = [pixels[i * width : (i + 1) * width] for i in range(bands.reach)]
    # The columns that the previous strip returned have stayed in registers, so that
    # each column of sums is loaded and stored once.
    heads = [
        _add_top(part[:own], tail) for part, tail in zip(parts, tails, strict=True)
    ]
    sums.add(to, slice(strip * own, (strip + 1) * own), heads)
    if width == own:
        return tails
    tails = [part[own:] for part in parts]
    if strip + 1 == bands.strips:
        end = (strip + 1) * own
        sums.add(to, slice(end, end + width - own), tails)
    return tails


def _add_top(x: Any, top: Any) -> Any:
    if top is None:
        return x
    size = top.shape[0]
    return jnp.concatenate([x[:size] + top, x[size:]]) if size < x.shape[0] else x + top
