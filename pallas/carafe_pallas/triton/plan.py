"""The tiles of a launch, and all that is static in it."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Axis, Geometry

SMALLEST = 16  # Along each side of a product: that of the tensor cores.


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Anchors and channels of a block, pixels of a product, warps, stages.

    num_stages: with one, `reassemble` itself requests each block of channels while the
    one before is multiplied; with more, Triton does for the blocks after the first.
    programs: that share the blocks of channels of a tile; those of the gradient of the
    kernels are one, which sums over all channels.
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
    """Pixels of a tile along an axis; the first is `anchor * stride + shift`."""

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
    # Output o reads around o * down // up: those that reach from radius before the
    # first source to radius after the last.
    reach = (anchors * axis.down + 2 * axis.radius) * axis.up
    before = axis.radius * axis.up // axis.down
    return Run(axis.up, -before, -(-reach // axis.down), axis.output_size)


def power_of_two(number: int) -> int:
    """Return the first power of two that is not smaller."""
    return 1 << (number - 1).bit_length()


def padded(runs: tuple[Run, Run]) -> int:
    """Return the pixels of a tile as the side of a product."""
    # Triton knows blocks of powers of two only.
    return max(SMALLEST, power_of_two(runs[0].count * runs[1].count))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The static part of a launch."""

    geometry: Geometry
    channels: int
    normalizer: Normalizer | None  # What the launch itself applies.
    config: TuningConfig
    outputs: tuple[Run, Run]
    sources: tuple[Run, Run]
    dtype: Any  # Of the factors of the products.
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
        """Whether one product of `reassemble` takes in all the pixels of a tile."""
        return self.config.depth >= padded(self.sources)

    def dot(
        self,
        a: Array,
        b: Array,
        *,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> Array:
        # A float32 product without a precision would be one of TensorFloat-32.
        precision = lax.Precision.HIGHEST if self.dtype == jnp.float32 else None
        a, b = a.astype(self.dtype), b.astype(self.dtype)
        return pltriton.dot(
            a, b, trans_a=transpose_a, trans_b=transpose_b, precision=precision
        )


def plan_of(call: Call, launch: Launch, config: TuningConfig) -> Plan:
    """Plan a launch."""
    rows, columns = call.geometry.rows, call.geometry.columns
    of_outputs, of_sources = _own_outputs, _read_sources
    if launch == "grad_features":
        of_outputs, of_sources = _reading_outputs, _own_sources
    same = call.features_dtype == call.kernels_dtype
    sources = (of_sources(rows, config.rows), of_sources(columns, config.columns))
    # A row of a band must be whole to be normalised; else it is before the launch.
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
