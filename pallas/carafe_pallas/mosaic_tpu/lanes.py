"""Gathers along the lanes: of taps to the pixels of a band, and back.

A gather reads one register of 128 lanes, so both directions loop over pairs of source
and destination registers, and select. Registers without a tap of the phase are skipped.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.experimental.pallas import tpu as pltpu

from carafe_pallas.mosaic_tpu.bands import LANES
from carafe_pallas.mosaic_tpu.plan import Plan

# A table holds `register * LANES + lane`.
_REGISTER, _LANE = LANES.bit_length() - 1, LANES - 1


def rotate_lanes(plan: Plan, x: Any, group: Any, *, back: bool) -> Any:
    """Rotate the lanes of a group to those of the first group, or back."""
    # The lane tables are those of the first group.
    if plan.geometry.groups == 1:
        return x
    shift = group * plan.bands.taps
    return pltpu.roll(x, shift if back else plan.bands.lanes - shift, 1)


def spread(plan: Plan, lines: Sequence[Any], spread_ref: Any, *, strip: int) -> Any:
    """Return the band of group 0: (lines * phases * strip, pixels).

    Each of `lines` is the kernels of one row of anchors, (strip, lanes).
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
                    # The shift is arithmetic: OUTSIDE, which is -1, is in no tile.
                    here = index >> _REGISTER == tile
                    chunk = jnp.where(here, _gather(source, index & _LANE), chunk)
            chunks.append(chunk)
        rows.append(jnp.concatenate(chunks, axis=1))
    return jnp.concatenate(rows).astype(plan.product_dtype)


def collect(plan: Plan, band: Any, collect_ref: Any, *, strip: int) -> Any:
    """Return the taps of group 0, gathered from a band: (strip, lanes)."""
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
                here = index >> _REGISTER == phase * chunks + chunk
                taps = jnp.where(here, _gather(source, index & _LANE), taps)
        tiles.append(taps)
    return jnp.concatenate(tiles, axis=1)


def _gather(x: Any, index: Any) -> Any:
    # OUTSIDE, masked to a lane, is in bounds too; its result is not selected.
    return jnp.take_along_axis(x, index, axis=1, mode="promise_in_bounds")
