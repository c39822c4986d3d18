"""The geometry of a reassembly: sizes, anchors and phases of each axis."""

import dataclasses
from fractions import Fraction
from typing import Any

Size = int | Any  # Any: symbolic in a program that is exported for maps of any size.


@dataclasses.dataclass(frozen=True)
class Axis:
    """One spatial axis of a reassembly of scale `up / down`.

    Output pixel `a * up + p` (anchor a, phase p) has its window centred on source
    pixel `a * down + offsets[p]`. There are `ceil(size / down)` anchors. Where
    `anchors * up` exceeds `output_size`, the last anchor lacks its last phases.
    """

    size: Size
    up: int
    down: int
    kernel_size: int

    @property
    def radius(self) -> int:
        return self.kernel_size // 2

    @property
    def anchors(self) -> Size:
        # As strided convolutions compute it, so that symbolic sizes compare equal.
        return (self.size - 1) // self.down + 1

    @property
    def output_size(self) -> Size:
        return (self.size * self.up - 1) // self.down + 1

    @property
    def offsets(self) -> tuple[int, ...]:
        """Centre of each phase's window, from the first source pixel of the anchor."""
        return tuple(p * self.down // self.up for p in range(self.up))

    @property
    def reach(self) -> int:
        """Number of source pixels that the windows of an anchor cover together."""
        return self.offsets[-1] + self.kernel_size

    def span(self, anchors: Size) -> Size:
        """Return the `reach` of `anchors` neighbouring anchors together."""
        return (anchors - 1) * self.down + self.reach

    @property
    def phase_runs(self) -> tuple[tuple[int, slice], ...]:
        """(offset, phases) of each run of phases whose windows have the same centre."""
        distinct = sorted(set(self.offsets))
        starts = [self.offsets.index(offset) for offset in distinct]
        stops = [*starts[1:], self.up]
        runs = zip(distinct, starts, stops, strict=True)
        return tuple((offset, slice(start, stop)) for offset, start, stop in runs)

    def readers(self, residue: int) -> tuple[tuple[int, int, int], ...]:
        """Return (anchor shift, phase, tap) of each window that covers a source pixel.

        The source pixel is `m * down + residue`; the window is of anchor `m + shift`.
        """
        found = []
        for phase, offset in enumerate(self.offsets):
            for tap in range(self.kernel_size):
                shift, remainder = divmod(
                    residue - (offset + tap - self.radius), self.down
                )
                if remainder == 0:
                    found.append((shift, phase, tap))
        return tuple(found)

    @property
    def reader_shifts(self) -> tuple[int, int]:
        """Lowest and highest anchor shift of all readers."""
        every = [self.readers(residue) for residue in range(self.down)]
        shifts = [shift for found in every for shift, _, _ in found]
        return min(shifts), max(shifts)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Both axes of a reassembly, static and hashable."""

    rows: Axis
    columns: Axis
    groups: int

    @classmethod
    def of(
        cls,
        height: Size,
        width: Size,
        *,
        scale: Fraction,
        kernel_size: int,
        groups: int,
    ) -> "Geometry":
        """Build the geometry of a (height, width) map."""
        up, down = scale.numerator, scale.denominator
        rows = Axis(height, up, down, kernel_size)
        return cls(rows, dataclasses.replace(rows, size=width), groups)

    @property
    def kernel_size(self) -> int:
        return self.rows.kernel_size

    @property
    def taps(self) -> int:
        """Taps of a window."""
        return self.kernel_size**2

    @property
    def phases(self) -> int:
        """Output pixels of an anchor."""
        return self.rows.up * self.columns.up

    @property
    def anchor_channels(self) -> int:
        """Channels of the kernels by anchor: those of all phases and groups."""
        return self.phases * self.groups * self.taps
