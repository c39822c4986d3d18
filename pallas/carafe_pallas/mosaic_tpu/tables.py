"""Lane tables: the indices of the gathers between taps of a strip and its patch.

A TPU has no scatter along the lanes, so both directions are gathers. Their indices are
computed here in NumPy, and are operands of a launch.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from carafe_pallas.mosaic_tpu.bands import LANES, Bands

OUTSIDE = -1  # The index of a tap that reads no pixel, or of a pixel without a tap.


@dataclasses.dataclass(frozen=True)
class Tables:
    """Lane tables of the strips; strips with equal tables share one.

    Attributes:
      kinds: Index of the table of each strip.
      spread: (kinds, lines * phases, strip, pixels); the lane of the tap of each pixel,
        for group 0.
      collect: (kinds, strip, lanes); `phase * pixels + pixel` of each tap, for group 0
        and the first line.
      same_segment: (lanes, lanes); one where two lanes belong to the same segment. With
        many lanes it is not used, and has its first rows alone.
      rows: (8, lanes); source row relative to the anchor's first, row of the phase,
        segment, column of the phase, one if the lane is a tap; the rest is unused.
    """

    kinds: tuple[int, ...]
    spread: Any
    collect: Any
    same_segment: Any
    rows: Any


@functools.lru_cache(maxsize=64)
def tables(bands: Bands) -> Tables:
    """Build the lane tables."""
    kinds, found, made = [], {}, []
    for strip in range(bands.strips):
        table = _strip_tables(bands, strip)
        key = b"".join(part.tobytes() for part in table)
        if key not in found:
            found[key] = len(made)
            made.append(table)
        kinds.append(found[key])
    spread, collect = (np.stack(parts) for parts in zip(*made, strict=True))
    rows = _row_table(bands)
    segment = rows[2] if bands.few_lanes else rows[2][:LANES]
    same_segment = np.float32(segment[:, None] == segment).astype(jnp.bfloat16)
    return Tables(tuple(kinds), spread, collect, same_segment, rows)


def _strip_tables(bands: Bands, strip: int) -> tuple[Any, Any]:
    rows, columns = bands.geometry.rows, bands.geometry.columns
    k, up, groups = bands.geometry.kernel_size, bands.up, bands.geometry.groups
    first = bands.first_column(strip)
    shape = bands.lines, bands.phases, bands.strip, bands.pixels
    spread = np.full(shape, OUTSIDE, np.int32)
    collect = np.full((bands.strip, bands.lanes), OUTSIDE, np.int32)
    for a in range(bands.strip):
        anchor = strip * bands.strip + a
        for py, px, dy, dx in np.ndindex(up, up, k, k):
            x = anchor * bands.down + columns.offsets[px] + dx - columns.radius
            if anchor * up + px >= columns.output_size or not 0 <= x < columns.size:
                continue
            phase = py * up + px
            tap = phase * groups * bands.taps + dy * k + dx
            pixel = (rows.offsets[py] + dy) * bands.columns + x - first
            for line in range(bands.lines):
                at = pixel + line * bands.down * bands.columns
                spread[line, phase, a, at] = tap
            collect[a, tap] = phase * bands.pixels + pixel
    return spread.reshape(-1, *shape[2:]), collect


def _row_table(bands: Bands) -> Any:
    rows, k = bands.geometry.rows, bands.geometry.kernel_size
    lane = np.arange(bands.lanes)
    segment = lane // bands.taps
    phase = segment // bands.geometry.groups
    # Lanes that are no taps count to the last phase, and form segments of their own.
    phase_row = np.minimum(phase // bands.up, bands.up - 1)
    offset = np.asarray(rows.offsets)[phase_row]
    table = np.zeros((8, bands.lanes), np.int32)
    table[0] = offset + lane % bands.taps // k - rows.radius
    table[1] = phase_row
    table[2] = segment
    table[3] = phase % bands.up
    table[4] = lane < bands.geometry.anchor_channels
    return table
