"""Weights inside the TPU kernels: normalised, laid out as bands, and back.

Rows of weights are (anchors, lanes): all phases, groups and taps of an anchor side by
side. A segment is the taps of one phase and group.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from carafe_pallas._tpu_bands import LANES
from carafe_pallas._tpu_plan import Plan

# Between logits that differ by less, no power of e underflows.
_CLOSE = 64.0


@dataclasses.dataclass(frozen=True)
class Segments:
    """Reduction of lanes by segment; every lane receives its segment's result.

    Attributes:
      plan: Of the launch.
      segment: (1, lanes), which segment a lane belongs to.
      alike: (lanes, lanes), one where two lanes share a segment; None: unused.
      bound: What to subtract from all logits of the block (their logarithmic sigmoids
        for a normalized sigmoid): none is higher, none is lower by _CLOSE or more;
        None: not known.
      filler: Stands where there is no logit. Its power must not overflow: a product
        with `alike` would make NaN of infinity in every segment.
    """

    plan: Plan
    segment: Any
    alike: Any = None
    bound: Any = None
    filler: Any = 0.0

    @property
    def count(self) -> int:
        return self.plan.bands.channels // self.plan.bands.taps

    def total(self, x: Any) -> Any:
        """Sum."""
        if self.alike is None:
            return self._reduce(x, functools.partial(jnp.sum, keepdims=True), 0.0)
        # Two bfloat16 terms keep 16 bits of the sum, plenty for results of 8; three
        # keep all.
        terms = 3 if self.plan.kernels_dtype == jnp.float32 else 2
        total = jnp.zeros_like(x)
        for _ in range(terms):
            term = x.astype(jnp.bfloat16)
            x = x - term.astype(jnp.float32)
            total += jnp.dot(term, self.alike, preferred_element_type=jnp.float32)
        return total

    def highest(self, x: Any) -> Any:
        """Return what to subtract before taking powers: the maximum or a bound."""
        if self.bound is not None:
            return self.bound
        return self._reduce(x, functools.partial(jnp.max, keepdims=True), -jnp.inf)

    def _reduce(self, x: Any, reduction: Callable[..., Any], neutral: float) -> Any:
        def step(s: Any, result: Any) -> Any:
            mine = self.segment == s
            one = reduction(jnp.where(mine, x, neutral), axis=-1)
            return jnp.where(mine, one, result)

        result = jnp.zeros_like(x)
        if self.count > 16:
            return lax.fori_loop(0, self.count, step, result)
        for s in range(self.count):
            result = step(s, result)
        return result


def _log_sigmoid(x: Any) -> Any:
    return jnp.minimum(x, 0) - jnp.log1p(jnp.exp(-jnp.abs(x)))


def _sigmoid(x: Any) -> Any:
    power = jnp.exp(-jnp.abs(x))
    return jnp.where(x >= 0, 1.0, power) / (1 + power)


def normalize(logits: Any, segments: Segments) -> Any:
    """Normalise over the taps of each phase and group, in float32."""
    normalizer = segments.plan.normalizer
    if normalizer == "sigmoid":
        return _sigmoid(logits)
    if normalizer == "normalized_sigmoid":
        logits = _log_sigmoid(logits)
    powers = jnp.exp(logits - segments.highest(logits))
    return powers / segments.total(powers)


def pull_back(gradient: Any, logits: Any, segments: Segments) -> Any:
    """Turn a gradient of the normalised kernels into one of the logits."""
    normalizer = segments.plan.normalizer
    kernels = normalize(logits, segments)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    gradient = kernels * (gradient - segments.total(kernels * gradient))
    if normalizer == "normalized_sigmoid":
        gradient = gradient * _sigmoid(-logits)
    return gradient


def row_exists(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return which lanes of a row of anchors are weights of real output rows."""
    exists = rows_ref[4:5] > 0
    if plan.ragged_rows:
        size = plan.geometry.rows.output_size
        exists = exists & (rows_ref[1:2] + anchor * plan.bands.up < size)
    return exists


def exists(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return which lanes of a row of anchors are weights of real output pixels."""
    real = row_exists(plan, rows_ref, anchor)
    if plan.ragged_columns:
        shape = (plan.bands.anchors, plan.bands.lanes)
        column = lax.broadcasted_iota(jnp.int32, shape, 0) * plan.bands.up
        size = plan.geometry.columns.output_size
        real = real & (column + rows_ref[3:4] < size)
    return real


def reads(plan: Plan, rows_ref: Any, anchor: Any) -> Any:
    """Return which taps of a row of anchors read a row of the map."""
    rows = plan.geometry.rows
    y = rows_ref[0:1] + anchor * rows.down
    return row_exists(plan, rows_ref, anchor) & (y >= 0) & (y < rows.size)


def load_logits(
    plan: Plan,
    weights_ref: Any,
    rows_ref: Any,
    segments: Segments,
    row: Any,
    anchor: Any,
) -> Any:
    """Load a row of logits in float32, filled up where there is none."""
    logits = weights_ref[0, row].astype(jnp.float32)
    # What lies outside the array may be NaN.
    return jnp.where(exists(plan, rows_ref, anchor), logits, segments.filler)


def by_range(
    plan: Plan,
    weights_ref: Any,
    rows_ref: Any,
    alike_ref: Any,
    *,
    block: Any,
    run: Callable[[Segments], None],
) -> None:
    """Run with cheap reductions where the logits of the block are close together."""
    segments = Segments(plan, rows_ref[2:3])
    if not plan.sums_by_product:
        run(segments)
        return
    low, high = _range(plan, weights_ref, rows_ref, block=block)
    bound = _log_sigmoid(high) if plan.normalizer == "normalized_sigmoid" else high
    close = high - low < _CLOSE

    @pl.when(close)
    def _by_products() -> None:
        run(
            dataclasses.replace(
                segments, alike=alike_ref[...], bound=bound, filler=high
            )
        )

    pl.when(jnp.logical_not(close))(lambda: run(segments))


def _range(
    plan: Plan, weights_ref: Any, rows_ref: Any, *, block: Any
) -> tuple[Any, Any]:
    """Return the lowest and the highest logit of a block; infinite if one is NaN."""

    def add_row(row: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
        logits = weights_ref[0, row].astype(jnp.float32)
        high = jnp.where(logits == logits, logits, jnp.inf)
        low = logits
        if plan.ragged_rows or plan.ragged_columns:
            real = exists(plan, rows_ref, block * plan.config.rows + row)
            low = jnp.where(real, low, jnp.inf)
            high = jnp.where(real, high, -jnp.inf)
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


def prepare_kernels(
    plan: Plan,
    weights_ref: Any,
    rows_ref: Any,
    alike_ref: Any,
    kernels_ref: Any,
    *,
    block: Any,
) -> None:
    """Write the normalised weights of a block; zero where they read above or below."""

    def run(segments: Segments) -> None:
        def run_row(row: Any) -> None:
            anchor = block * plan.config.rows + row
            if plan.normalizer is None:
                kernels = weights_ref[0, row].astype(jnp.float32)
            else:
                logits = load_logits(plan, weights_ref, rows_ref, segments, row, anchor)
                kernels = normalize(logits, segments)
                # Rounded as kernels that were normalised outside would be.
                kernels = kernels.astype(plan.kernels_dtype).astype(jnp.float32)
            kernels_ref[row] = jnp.where(reads(plan, rows_ref, anchor), kernels, 0)

        plan.each_row(run_row)

    by_range(plan, weights_ref, rows_ref, alike_ref, block=block, run=run)


def turn_lanes(plan: Plan, x: Any, group: Any, *, back: bool) -> Any:
    """Move the lanes of a group to those of the first group, or back."""
    if plan.geometry.groups == 1:
        return x
    shift = group * plan.bands.taps
    return pltpu.roll(x, shift if back else plan.bands.lanes - shift, 1)


def _gather(x: Any, index: Any) -> Any:
    return jnp.take_along_axis(x, index, axis=1, mode="promise_in_bounds")


def band(plan: Plan, lines: Sequence[Any], spread_ref: Any, *, strip: int) -> Any:
    """Lay the taps of group 0 over the pixels: (lines * phases * strip, pixels).

    Each line is the kernels of one row of anchors, (strip, lanes).
    """
    bands, kind, rows = plan.bands, plan.kinds[strip], []
    for (line, kernels), phase in itertools.product(
        enumerate(lines), range(bands.phases)
    ):
        chunks = []
        for first in range(0, bands.pixels, LANES):
            pixels = slice(first, first + LANES)
            chunk = jnp.zeros((bands.strip, LANES), jnp.float32)
            if bands.holds(line, pixels):
                index = spread_ref[kind, line * bands.phases + phase, :, pixels]
                for tile in bands.tap_tiles(phase):
                    source = kernels[:, tile * LANES : (tile + 1) * LANES]
                    # Arithmetic shift: OUTSIDE belongs to no tile.
                    here = index >> 7 == tile
                    chunk = jnp.where(here, _gather(source, index & 127), chunk)
            chunks.append(chunk)
        rows.append(jnp.concatenate(chunks, axis=1))
    return jnp.concatenate(rows).astype(plan.product_dtype)


def unband(plan: Plan, band: Any, collect_ref: Any, *, strip: int) -> Any:
    """Collect the taps of group 0 from a band: (strip, lanes)."""
    kind, bands = plan.kinds[strip], plan.bands
    chunks = bands.pixels // LANES
    tiles = []
    for tile in range(bands.lanes // LANES):
        index = collect_ref[kind, :, tile * LANES : (tile + 1) * LANES]
        taps = jnp.zeros(index.shape, jnp.float32)
        for phase in range(bands.phases):
            if tile not in bands.tap_tiles(phase):
                continue
            rows = slice(phase * bands.strip, (phase + 1) * bands.strip)
            for chunk in range(chunks):
                source = band[rows, chunk * LANES : (chunk + 1) * LANES]
                here = index >> 7 == phase * chunks + chunk
                taps = jnp.where(here, _gather(source, index & 127), taps)
        tiles.append(taps)
    return jnp.concatenate(tiles, axis=1)
