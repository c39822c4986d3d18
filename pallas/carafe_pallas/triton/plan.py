"""The static values of a launch: its tiles, its products and its grid."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Axis, Geometry

SMALLEST = 16  # Least size of each dimension of a product on tensor cores.


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Sizes of a tile and of its products.

    Attributes:
      rows: Rows of anchors of a tile.
      columns: Columns of anchors of a tile.
      channels: Channels of a block.
      depth: Pixels over which one product sums.
      num_warps: Warps of a program.
      num_stages: Stages of Triton's pipelined loops. With one, `reassemble` itself
        prefetches each block of channels during the product of the previous one; with
        more, Triton prefetches all blocks after the first.
      programs: Programs that share the blocks of channels of a tile. Unused by the
        gradient of the kernels, in which one program sums over all channels.
    """

    rows: int
    columns: int
    channels: int
    depth: int
    num_warps: int = 4
    num_stages: int = 2
    programs: int = 1


@dataclasses.dataclass(frozen=True)
class Run:
    """`count` pixels of a tile along an axis, from `anchor * stride + shift` on."""

    stride: int
    shift: int
    count: int
    size: int


def _own_outputs(axis: Axis, anchors: int) -> Run:
    return Run(axis.up, 0, anchors * axis.up, axis.output_size)


def _read_sources(axis: Axis, anchors: int) -> Run:
    return Run(axis.down, -axis.radius, axis.span(anchors), axis.size)


def _own_sources(axis: Axis, anchors: int) -> Run:
    return Run(axis.down, 0, anchors * axis.down, axis.size)


def _reading_outputs(axis: Axis, anchors: int) -> Run:
    # The window of output o is centred on source o * down // up. Those that reach the
    # tile are centred from a radius before its first source to a radius after its last.
    reach = (anchors * axis.down + 2 * axis.radius) * axis.up
    before = axis.radius * axis.up // axis.down
    return Run(axis.up, -before, -(-reach // axis.down), axis.output_size)


def power_of_two(number: int) -> int:
    """Return `number`, rounded up to a power of two."""
    return 1 << (number - 1).bit_length()


def padded(runs: tuple[Run, Run]) -> int:
    """Return the number of pixels of a tile, rounded up to a dimension of a product."""
    # Triton's blocks are powers of two.
    return max(SMALLEST, power_of_two(runs[0].count * runs[1].count))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static values of a launch."""

    geometry: Geometry
    channels: int
    normalizer: Normalizer | None  # Applied inside the launch.
    config: TuningConfig
    outputs: tuple[Run, Run]
    sources: tuple[Run, Run]
    dtype: Any  # Dtype of the factors of the products.
    launch: Launch

    @property
    def group_channels(self) -> int:
        return self.channels // self.geometry.groups

    @property
    def blocks(self) -> int:
        """Number of blocks of channels in a group."""
        return pl.cdiv(self.group_channels, self.config.channels)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles of all groups along the columns, and along the rows."""
        rows, columns = self.geometry.rows, self.geometry.columns
        along_columns = pl.cdiv(columns.anchors, self.config.columns)
        along_rows = pl.cdiv(rows.anchors, self.config.rows)
        return along_columns * self.geometry.groups, along_rows

    @property
    def programs(self) -> int:
        """Number of programs that share the channels of a group."""
        if self.launch == "grad_kernels":
            return 1
        return min(self.config.programs, self.blocks)

    @property
    def steps(self) -> int:
        """Number of blocks of a program."""
        return pl.cdiv(self.blocks, self.programs)

    @property
    def whole(self) -> bool:
        """Whether one product of `reassemble` sums over all source pixels of a tile."""
        return self.config.depth >= padded(self.sources)

    def dot(
        self,
        a: Array,
        b: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> Array:
        # The default for float32 is TensorFloat-32.
        precision = lax.Precision.HIGHEST if self.dtype == jnp.float32 else None
        a, b = a.astype(self.dtype), b.astype(self.dtype)
        return pltriton.dot(
            a, b, trans_a=transpose_a, trans_b=transpose_b, precision=precision
        )


def plan_of(call: Call, launch: Launch, config: TuningConfig) -> Plan:
    """Return the plan of a launch."""
    rows, columns = call.geometry.rows, call.geometry.columns
    of_outputs, of_sources = _own_outputs, _read_sources
    if launch == "grad_features":
        of_outputs, of_sources = _reading_outputs, _own_sources
    same = call.features_dtype == call.kernels_dtype
    sources = (of_sources(rows, config.rows), of_sources(columns, config.columns))
    # Only whole rows of a band can be normalised inside the launch.
    whole = launch == "grad_kernels" or config.depth >= padded(sources)
    inside = whole and launch != "grad_features"
    return Plan(
        geometry=call.geometry,
        channels=call.channels,
        normalizer=call.normalizer if inside else None,
        config=config,
        outputs=(of_outputs(rows, config.rows), of_outputs(columns, config.columns)),
        sources=sources,
        dtype=call.features_dtype if same else jnp.dtype(jnp.float32),
        launch=launch,
    )
