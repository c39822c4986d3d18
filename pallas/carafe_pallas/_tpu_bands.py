"""Reassembly as banded matrix products on a TPU: sizes and lane tables.

A strip of neighbouring anchors of a row, or of `lines` rows, reads a patch of source
pixels, `reach` rows of `columns` pixels. Pixel (i, j) of the patch is entry
`i * columns + j` of the product. The band holds one row for each line, phase and
anchor: the weights of its window at the pixels that they belong to, zero elsewhere.
Lane tables map taps to pixels.
"""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from carafe_pallas.geometry import Geometry

LANES = 128
OUTSIDE = -1  # The tap reads no pixel of the map, or the pixel is no tap's.


def round_up(size: int, multiple: int) -> int:
    """Return the first multiple that is not smaller."""
    return -(-size // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class Bands:
    """The strips of a row of anchors, static and hashable.

    Attributes:
      geometry: Of the reassembly.
      strip: Anchors of a strip.
      inside: Whether patches are moved and narrowed to lie inside the map. Others
        begin and end at whole registers, counted from the first patch.
      lines: Neighbouring rows of anchors of a strip.
    """

    geometry: Geometry
    strip: int
    inside: bool = True
    lines: int = 1

    @property
    def up(self) -> int:
        return self.geometry.rows.up

    @property
    def down(self) -> int:
        return self.geometry.rows.down

    @property
    def phases(self) -> int:
        return self.up**2

    @property
    def taps(self) -> int:
        return self.geometry.kernel_size**2

    @property
    def channels(self) -> int:
        """Channels of the weights."""
        return self.phases * self.geometry.groups * self.taps

    @property
    def lanes(self) -> int:
        """Channels of the weights, in whole registers."""
        return round_up(self.channels, LANES)

    @property
    def few_lanes(self) -> bool:
        """Whether a matrix product may sum the taps of each phase and group."""
        return self.lanes <= 4 * LANES

    @property
    def strips(self) -> int:
        return -(-self.geometry.columns.anchors // self.strip)

    @property
    def anchors(self) -> int:
        """Anchors of a row, in whole strips."""
        return self.strips * self.strip

    @property
    def reach(self) -> int:
        """Rows of a patch."""
        return self.geometry.rows.span(self.lines)

    @property
    def columns(self) -> int:
        """Columns of a patch."""
        axis = self.geometry.columns
        span = axis.span(self.strip)
        if not self.inside:
            # Pixels of the strip's own that no window reads are summed too, to zero.
            return round_up(max(span, self.strip * self.down + axis.radius), 8)
        wide = round_up(span, 8)
        if round_up(self.reach * wide, LANES) == round_up(self.reach * span, LANES):
            span = wide
        return min(span, axis.size)

    @property
    def pixels(self) -> int:
        """Pixels of a patch, in whole registers."""
        return round_up(self.reach * self.columns, LANES)

    @property
    def span(self) -> int:
        """Columns of all patches of a row, where they are not moved."""
        return (self.strips - 1) * self.strip * self.down + self.columns

    def first_column(self, strip: int) -> int:
        """First source column of a strip's patch."""
        axis = self.geometry.columns
        first = strip * self.strip * self.down - axis.radius
        if not self.inside:
            return first
        return min(max(first, 0), axis.size - self.columns)

    def holds(self, line: int, pixel: slice) -> bool:
        """Whether a row of anchors reads any of these pixels of a patch."""
        rows = self.geometry.rows
        first = line * rows.down * self.columns
        return pixel.start < first + rows.reach * self.columns and first < pixel.stop

    def tap_tiles(self, phase: int) -> tuple[int, ...]:
        """Registers that hold the taps of a phase of the first group."""
        first = phase * self.geometry.groups * self.taps
        return tuple(range(first // LANES, (first + self.taps - 1) // LANES + 1))


@dataclasses.dataclass(frozen=True)
class Tables:
    """Lane tables of the strips; strips with equal tables share one.

    Attributes:
      kinds: Which table each strip uses.
      spread: (kinds, lines * phases, strip, pixels); the lane of the weights, for
        group 0.
      collect: (kinds, strip, lanes); `phase * pixels + pixel`, for group 0 and the
        first line.
      alike: (lanes, lanes); one where two lanes belong to one segment. Unused, and
        cut short, where there are many lanes.
      rows: (8, lanes); source row relative to the anchor's first, row of the phase,
        segment, column of the phase, one where the lane is a weight at all.
    """

    kinds: tuple[int, ...]
    spread: Any
    collect: Any
    alike: Any
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
    alike = np.float32(segment[:, None] == segment).astype(jnp.bfloat16)
    return Tables(tuple(kinds), spread, collect, alike, rows)


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
    # Lanes that are no weights belong to the last phase, and to segments of their own.
    phase_row = np.minimum(phase // bands.up, bands.up - 1)
    offset = np.asarray(rows.offsets)[phase_row]
    table = np.zeros((8, bands.lanes), np.int32)
    table[0] = offset + lane % bands.taps // k - rows.radius
    table[1] = phase_row
    table[2] = segment
    table[3] = phase % bands.up
    table[4] = lane < bands.channels
    return table
