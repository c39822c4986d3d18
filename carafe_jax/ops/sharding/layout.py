"""Layouts of arrays: the meaning of each dimension, and the axes that split it."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from carafe_pallas.geometry import Geometry, Size
from jax.sharding import PartitionSpec
from jaxtyping import Array

from carafe_jax.ops.sharding.axes import Names


@dataclasses.dataclass(frozen=True)
class Split:
    """The mesh axes over which batch, rows and channels are split."""

    batch: Names = ()
    rows: Names = ()
    channels: Names = ()
    grouped: bool = False
    """Whether the channels are split by whole groups."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The meaning of the dimensions of an array.

    The first dimension is the batch, the second the rows, of source pixels, output
    pixels or anchors. `channels` and `groups` are the dimensions of these, if any.
    """

    rank: int
    row: Literal["source", "output", "anchor"]
    channels: int | None = None
    groups: int | None = None

    def rows_per_anchor(self, geometry: Geometry) -> int:
        """Return the number of rows of the array for each anchor."""
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
        """Return the shape of the array for `examples` maps of this geometry."""
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
        """Return the spec that splits batch, rows, and channels or groups."""
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
    """Return the size of the batch, the same for all operands of a launch."""
    array, _ = operands[0]
    return array.shape[0]


def channels_of(operands: Sequence[Operand]) -> int:
    """Return the number of channels; every launch has an operand with channels."""
    dimensions = ((array, layout.channels) for array, layout in operands)
    return next(array.shape[dim] for array, dim in dimensions if dim is not None)
