"""The static values of a launch: its blocks, their shared memory and barriers."""

import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from carafe_pallas.call import Call, Launch
from carafe_pallas.mosaic_gpu.kernels import CHUNK, AnchorRun
from carafe_pallas.mosaic_gpu.layouts import Tile

WORD = 16  # Bytes of a vector load of a thread, and the alignment of TMA copies.


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Sizes of a thread block.

    Attributes:
      rows: Rows of anchors.
      tiles: Tiles along the columns; a tile is what the warpgroup holds at once.
      channels: Channels of the block, or of a step of its loop over channels.
      run: Neighbouring anchors of one thread in a tile.
    """

    rows: int
    tiles: int
    channels: int
    run: int


@dataclasses.dataclass(frozen=True)
class Box:
    """`size` pixels of an axis of `extent`, for block b from `b * stride + first` on.

    TMA reads zeros outside the axis. The interpreter does not: its arrays are padded by
    `low` and `high`.
    """

    extent: int
    size: int
    stride: int
    blocks: int
    first: int = 0

    @property
    def low(self) -> int:
        return max(0, -self.first)

    @property
    def high(self) -> int:
        end = (self.blocks - 1) * self.stride + self.first + self.size
        return max(0, end - self.extent)

    def start(self, block: Any, *, interpret: bool) -> Any:
        return block * self.stride + self.first + (self.low if interpret else 0)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static values of a launch."""

    call: Call
    config: TuningConfig
    interpret: bool

    @property
    def up(self) -> int:
        return self.call.geometry.columns.up

    @property
    def down(self) -> int:
        return self.call.geometry.columns.down

    @property
    def phases(self) -> int:
        return self.call.geometry.phases

    @property
    def tile(self) -> Tile:
        """Eight channels per thread, in loads of 16 bytes; fewer in narrow blocks."""
        channels = self.config.channels
        lanes = max(8, min(32, channels // 8))
        itemsize = jnp.dtype(self.call.features_dtype).itemsize
        vector = min(WORD // itemsize, channels // lanes)
        return Tile(lanes=lanes, vector=vector, run=self.config.run)

    @property
    def anchors(self) -> int:
        """Anchors of a block along the columns."""
        return self.config.tiles * self.tile.pixels

    @property
    def group_channels(self) -> int:
        return self.call.channels // self.call.geometry.groups

    @property
    def channel_blocks(self) -> int:
        return self.call.channels // self.config.channels

    @property
    def grid(self) -> tuple[int, int, int]:
        """Number of blocks along the batch, the rows and the columns."""
        rows, columns = self.call.geometry.rows, self.call.geometry.columns
        return (
            self.call.batch,
            -(-rows.anchors // self.config.rows),
            -(-columns.anchors // self.anchors),
        )

    @functools.cached_property
    def patch(self) -> tuple[Box, Box]:
        """The features that the windows of a block cover."""
        rows, columns = self.call.geometry.rows, self.call.geometry.columns
        _, row_blocks, column_blocks = self.grid
        per_row, per_column = self.config.rows * self.down, self.anchors * self.down
        # Whole anchors, because bodies reshape the columns to (anchors, down).
        width = per_column + (columns.reach - 1) // self.down * self.down
        span = rows.span(self.config.rows)
        first = -rows.radius
        return (
            Box(rows.size, span, per_row, row_blocks, first),
            Box(columns.size, width, per_column, column_blocks, first),
        )

    @functools.cached_property
    def output(self) -> tuple[Box, Box]:
        """The output pixels of the anchors of a block."""
        rows, columns = self.call.geometry.rows, self.call.geometry.columns
        return self._pixels(self.up, rows.output_size, columns.output_size)

    @functools.cached_property
    def source(self) -> tuple[Box, Box]:
        """The source pixels of the anchors of a block."""
        rows, columns = self.call.geometry.rows, self.call.geometry.columns
        return self._pixels(self.down, rows.size, columns.size)

    @functools.cached_property
    def readers(self) -> tuple[Box, Box]:
        """The output pixels whose windows may cover the source pixels of a block."""
        low, high = self.call.geometry.rows.reader_shifts
        more = (high - low) * self.up
        row, column = (
            dataclasses.replace(box, size=box.size + more, first=low * self.up)
            for box in self.output
        )
        return row, column

    def _pixels(self, each: int, height: int, width: int) -> tuple[Box, Box]:
        _, row_blocks, column_blocks = self.grid
        rows, columns = self.config.rows * each, self.anchors * each
        return (
            Box(height, rows, rows, row_blocks),
            Box(width, columns, columns, column_blocks),
        )

    @property
    def own_kernels(self) -> AnchorRun:
        """Kernels of one anchor row of a block."""
        call = self.call
        return AnchorRun(call.geometry, self.anchors, call.normalizer, self.interpret)

    @property
    def reader_kernels(self) -> AnchorRun:
        """Kernels of one row of the anchors that may read a block's source pixels."""
        low, high = self.call.geometry.columns.reader_shifts
        anchors = self.anchors + high - low
        call = self.call
        return AnchorRun(call.geometry, anchors, call.normalizer, self.interpret)

    @property
    def padded_anchors(self) -> int:
        """Anchors of a row, rounded up to whole blocks."""
        return self.grid[2] * self.anchors

    @property
    def kernels_margin(self) -> int:
        """Elements of padding around the kernels, for copies by the interpreter."""
        low, high = self.call.geometry.rows.reader_shifts
        rows, run = self.config.rows + high - low, self.reader_kernels
        anchors = rows * self.call.geometry.columns.anchors + 2 * run.anchors
        return anchors * run.anchor_stride + CHUNK

    def shared(self, launch: Launch) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Arrays (shape, dtype) of a block in shared memory, by name."""
        own, reader, up = self.own_kernels, self.reader_kernels, self.up
        channels, rows = self.config.channels, self.config.rows
        features, kernels = self.call.features_dtype, self.call.kernels_dtype
        patch = tuple(box.size for box in self.patch)
        output = tuple(box.size for box in self.output)
        match launch:
            case "reassemble":
                return {
                    "patch_smem": ((*patch, channels), features),
                    "raw_smem": ((rows, own.length), kernels),
                    "kernels_smem": ((own.taps, own.rows), jnp.float32),
                    "out_smem": ((up, output[1], channels), features),
                }
            case "grad_features":
                # Double buffering: one slot is filled while the other is read.
                box = 2, up, self.readers[1].size, channels
                return {
                    "cotangent_smem": (box, features),
                    "raw_smem": ((2, reader.length), kernels),
                    "kernels_smem": ((reader.taps, reader.rows), jnp.float32),
                    "out_smem": ((self.source[1].size, channels), features),
                }
            case "grad_kernels":
                # Without a normalizer nothing is fetched, but the array must exist.
                raw = CHUNK if self.call.normalizer is None else own.length
                return {
                    "patch_smem": ((*patch, channels), features),
                    "cotangent_smem": ((*output, channels), features),
                    "raw_smem": ((rows, raw), kernels),
                    "sums_smem": ((rows, own.taps, own.rows), jnp.float32),
                    "out_smem": ((rows, own.length), kernels),
                }

    def barriers(self, launch: Launch) -> list[tuple[int, int]]:
        """Return (arrivals, count) of the barriers of the pixels and of the kernels."""
        own, rows = self.own_kernels.chunks, self.config.rows
        match launch:
            case "reassemble":
                return [(1, 1), (own, rows)]
            case "grad_features":
                return [(1, 2), (self.reader_kernels.chunks, 2)]
            case "grad_kernels":  # Features and cotangent arrive together.
                return [(2, 1), (own, rows)]

    def shared_bytes(self, launch: Launch) -> int:
        """Shared memory of a block, with 1 KiB for barriers and alignment."""
        arrays = self.shared(launch).values()
        sizes = (math.prod(shape) * jnp.dtype(d).itemsize for shape, d in arrays)
        return 1024 + sum(sizes)


def pad_map(array: Array, rows: Box, columns: Box) -> Array:
    """Pad a map with the zeros that TMA would read, for the interpreter."""
    sides = ((0, 0), (rows.low, rows.high), (columns.low, columns.high), (0, 0))
    return jnp.pad(array, sides)
