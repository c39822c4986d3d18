"""Sizes of the banded matrix products that a reassembly is on a TPU.

A strip is a run of neighbouring anchors of one row, or of `lines` rows. Its windows
cover its patch, `reach` rows of `columns` source pixels. The band is a matrix with a
row for each line, phase and anchor, and a column for each pixel of the patch:
`i * columns + j` for pixel (i, j). An entry is the tap of the anchor's kernel at that
pixel, or zero outside the window.
"""

import dataclasses

from carafe_pallas.geometry import Geometry

LANES = 128


def round_up(size: int, multiple: int) -> int:
    """Return `size`, rounded up to a multiple."""
    return -(-size // multiple) * multiple


@dataclasses.dataclass(frozen=True)
class Bands:
    """The strips of a row of anchors, static and hashable.

    Attributes:
      geometry: Geometry of the reassembly.
      strip: Anchors of a strip, in each of its rows.
      inside: Whether patches are shifted and cropped to be inside the map. Otherwise
        they begin and end at whole registers, counted from the first patch.
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
        return self.geometry.phases

    @property
    def taps(self) -> int:
        return self.geometry.taps

    @property
    def lanes(self) -> int:
        """Channels of the kernels, rounded up to whole registers."""
        return round_up(self.geometry.anchor_channels, LANES)

    @property
    def few_lanes(self) -> bool:
        """Whether lanes are few enough to sum taps by a product of lanes x lanes."""
        return self.lanes <= 4 * LANES

    @property
    def strips(self) -> int:
        return -(-self.geometry.columns.anchors // self.strip)

    @property
    def anchors(self) -> int:
        """Anchors of a row, rounded up to whole strips."""
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
            # Includes the strip's own pixels that no window reads: their sum is zero.
            return round_up(max(span, self.strip * self.down + axis.radius), 8)
        wide = round_up(span, 8)
        if round_up(self.reach * wide, LANES) == round_up(self.reach * span, LANES):
            span = wide
        return min(span, axis.size)

    @property
    def pixels(self) -> int:
        """Pixels of a patch, rounded up to whole registers."""
        return round_up(self.reach * self.columns, LANES)

    @property
    def span(self) -> int:
        """Columns of all patches of a row together, if they are not shifted."""
        return (self.strips - 1) * self.strip * self.down + self.columns

    def first_column(self, strip: int) -> int:
        """Return the first source column of a strip's patch."""
        axis = self.geometry.columns
        first = strip * self.strip * self.down - axis.radius
        if not self.inside:
            return first
        return min(max(first, 0), axis.size - self.columns)

    def holds(self, line: int, pixel: slice) -> bool:
        """Return whether a row of anchors reads any of these pixels of a patch."""
        rows = self.geometry.rows
        first = line * rows.down * self.columns
        return pixel.start < first + rows.reach * self.columns and first < pixel.stop

    def tap_tiles(self, phase: int) -> tuple[int, ...]:
        """Return the registers that hold the taps of a phase of the first group."""
        first = phase * self.geometry.groups * self.taps
        return tuple(range(first // LANES, (first + self.taps - 1) // LANES + 1))
