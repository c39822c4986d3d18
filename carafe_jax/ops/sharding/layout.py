"""The meaning of each dimension of an array, and with it what can be split."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from carafe_pallas.geometry import Geometry, Size
from jax.sharding import PartitionSpec
from jaxtyping import Array

from carafe_jax.ops.sharding.axes import Names


@dataclasses.dataclass(frozen=True)
class Split:
    """Over which axes of a mesh examples, rows and channels are split."""

    batch: Names = ()
    rows: Names = ()
    channels: Names = ()
    grouped: bool = False
    """Whether groups are split with their channels."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The meaning of the dimensions of an array; the first holds examples.

    `channels` and `groups` are the dimensions of these, where there are any. The second
    dimension holds rows; `row` gives their number for each anchor.
    """

    rank: int
    row: Literal["source", "output", "anchor"]
    channels: int | None = None
    groups: int | None = None

    def rows_per_anchor(self, geometry: Geometry) -> int:
        """Rows of the array that belong to one anchor."""
        match self.row:
            case "source":
                return geometry.rows.down
            case "output":
                return geometry.rows.up
            case "anchor":
                return 1

    def shape(
        self, geometry: Geometry, *, examples: Size, channels: int
    ) -> tuple[Size, ...]:
        """Return the shape of the array for maps of some examples and channels."""
        rows, columns = geometry.rows, geometry.columns
        groups, taps = geometry.groups, geometry.taps
        if self.row == "source":
            return examples, rows.size, columns.size, channels
        if self.row == "anchor":
            inner = (geometry.phases, groups * taps)
            return examples, rows.anchors, columns.anchors, *inner
        inner = (groups, taps) if self.channels is None else (channels,)
        return examples, rows.output_size, columns.output_size, *inner

    def spec(self, split: Split) -> PartitionSpec:
        """Split the examples, the rows, and the channels or groups."""
        parts: list[Names | None] = [None] * self.rank
        parts[0], parts[1] = split.batch or None, split.rows or None
        dimension = self.groups if split.grouped else None
        if self.channels is not None:
            dimension = self.channels
        if dimension is not None:
            parts[dimension] = split.channels or None
        return PartitionSpec(*parts)


FEATURES = Layout(rank=4, row="source", channels=3)  # (n, h, w, c)
OUTPUT = Layout(rank=4, row="output", channels=3)  # (n, oh, ow, c)
KERNELS = Layout(rank=5, row="output", groups=3)  # (n, oh, ow, groups, taps)
LOGITS = Layout(rank=5, row="anchor", groups=4)  # (n, ah, aw, phases, groups * taps)

Operand = tuple[Array, Layout]


def examples_of(operands: Sequence[Operand]) -> Size:
    """Return the number of examples, which all operands of a launch have."""
    array, _ = operands[0]
    return array.shape[0]


def channels_of(operands: Sequence[Operand]) -> int:
    """Return the number of channels, which every launch has an operand with."""
    dimensions = ((array, layout.channels) for array, layout in operands)
    return next(array.shape[dim] for array, dim in dimensions if dim is not None)
