"""How reassembly becomes banded matrix products on a TPU: sizes and lane tables.

A strip of neighbouring anchors of one row reads a patch of source pixels, `reach` rows
of `columns` pixels. Pixel (i, j) of the patch is entry `i * columns + j` of the product.
The band holds one row for each phase and anchor: the weights of its window at the pixels
that they belong to, zero elsewhere. Lane tables say which tap goes to which pixel.
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from carafe_pallas.geometry import Geometry

LANES = 128
OUTSIDE = -1  # The tap reads no pixel of the map, or the pixel is no tap's.
MISSING = -2  # The output pixel does not exist.


def round_up(size: int, multiple: int) -> int:
    """Return the first multiple that is not smaller."""
    return -(-size // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class Bands:
    """The strips of a row of anchors, static and hashable."""

    geometry: Geometry
    strip: int

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
    def strips(self) -> int:
        return -(-self.geometry.columns.anchors // self.strip)

    @property
    def anchors(self) -> int:
        """Anchors of a row, in whole strips."""
        return self.strips * self.strip

    @property
    def reach(self) -> int:
        """Rows of a patch."""
        return self.geometry.rows.reach

    @property
    def columns(self) -> int:
        """Columns of a patch: never more than the map has, so that it lies inside."""
        axis = self.geometry.columns
        span = axis.span(self.strip)
        wide = round_up(span, 8)
        if round_up(self.reach * wide, LANES) == round_up(self.reach * span, LANES):
            span = wide
        return min(span, axis.size)

    @property
    def pixels(self) -> int:
        """Pixels of a patch, in whole registers."""
        return round_up(self.reach * self.columns, LANES)

    def first_column(self, strip: int) -> int:
        """First source column of a strip's patch, moved inwards at the edges."""
        axis = self.geometry.columns
        first = strip * self.strip * self.down - axis.radius
        return min(max(first, 0), axis.size - self.columns)

    def tap_tiles(self, phase: int) -> tuple[int, ...]:
        """Registers that hold the taps of a phase of the first group."""
        first = phase * self.geometry.groups * self.taps
        return tuple(range(first // LANES, (first + self.taps - 1) // LANES + 1))


@dataclasses.dataclass(frozen=True)
class Tables:
    """Lane tables of the strips; strips with equal tables share one.

    Attributes:
      kinds: Which table each strip uses.
      spread: (kinds, phases, strip, pixels); the lane of the weights, for group 0.
      collect: (kinds, strip, lanes); `phase * pixels + pixel`, for group 0.
      exists: (kinds, strip, lanes); not MISSING where the output column exists.
      rows: (8, lanes); source row relative to the anchor's first, phase row, segment.
    """

    kinds: tuple[int, ...]
    spread: Any
    collect: Any
    exists: Any
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
    spread, collect, exists = (np.stack(parts) for parts in zip(*made, strict=True))
    return Tables(tuple(kinds), spread, collect, exists, _row_table(bands))


def _strip_tables(bands: Bands, strip: int) -> tuple[Any, Any, Any]:
    rows, columns = bands.geometry.rows, bands.geometry.columns
    k, up, groups = bands.geometry.kernel_size, bands.up, bands.geometry.groups
    first = bands.first_column(strip)
    spread = np.full((bands.phases, bands.strip, bands.pixels), OUTSIDE, np.int32)
    collect = np.full((bands.strip, bands.lanes), OUTSIDE, np.int32)
    exists = np.full((bands.strip, bands.lanes), MISSING, np.int32)
    lane = np.arange(bands.lanes)
    phase_column = lane // (groups * bands.taps) % up
    for a in range(bands.strip):
        anchor = strip * bands.strip + a
        real = anchor * up + phase_column < columns.output_size
        exists[a, real & (lane < bands.channels)] = 0
        for py, px, dy, dx in np.ndindex(up, up, k, k):
            x = anchor * bands.down + columns.offsets[px] + dx - columns.radius
            if anchor * up + px >= columns.output_size or not 0 <= x < columns.size:
                continue
            phase = py * up + px
            tap = phase * groups * bands.taps + dy * k + dx
            pixel = (rows.offsets[py] + dy) * bands.columns + x - first
            spread[phase, a, pixel] = tap
            collect[a, tap] = phase * bands.pixels + pixel
    return spread, collect, exists


def _row_table(bands: Bands) -> Any:
    rows, k = bands.geometry.rows, bands.geometry.kernel_size
    lane = np.arange(bands.lanes)
    segment = lane // bands.taps
    phase_row = np.minimum(segment // (bands.geometry.groups * bands.up), bands.up - 1)
    offset = np.asarray(rows.offsets)[phase_row]
    table = np.zeros((8, bands.lanes), np.int32)
    table[0] = offset + lane % bands.taps // k - rows.radius
    table[1] = phase_row
    table[2] = segment
    return table
