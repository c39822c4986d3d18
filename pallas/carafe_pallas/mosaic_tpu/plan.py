"""The static values of a launch: its blocks, strips, dtypes and options."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from carafe_pallas.call import Call, Launch, Normalizer
from carafe_pallas.geometry import Axis, Geometry
from carafe_pallas.mosaic_tpu.bands import Bands
from carafe_pallas.mosaic_tpu.tables import Tables, tables


@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """Sizes of a block.

    Attributes:
      rows: Rows of anchors.
      strip: Neighbouring anchors of one product, a multiple of 16.
      channels: Channels: all of them, or a multiple of 128 that divides a group.
      lines: Rows of anchors of one product, a divisor of `rows`; 1 except for the
        gradient of the features.
    """

    rows: int
    strip: int
    channels: int
    lines: int = 1


def bands_of(geometry: Geometry, launch: Launch, config: TuningConfig) -> Bands:
    """Return the sizes of the products of a launch."""
    # The sums of `grad_features` are aligned with its patches: these are not shifted.
    inside = launch != "grad_features"
    return Bands(geometry, config.strip, inside, config.lines)


def least_rows(rows: Axis) -> int:
    """Return the fewest rows of anchors of a block of the gradient of the features.

    With fewer, the next block alone could not complete the sums of a block.
    """
    return max(-(-rows.radius // rows.down), 1)


def common_dtype(dtype: jnp.dtype, other: jnp.dtype) -> jnp.dtype:
    """Return the dtype of products of two dtypes of at most 32 bits."""
    # `jnp.promote_types` would raise under `jax_numpy_dtype_promotion="strict"`.
    return dtype if dtype == other else jnp.dtype(jnp.float32)


def ring_rows(axis: Axis, rows: int) -> int:
    """Return the number of rows of sums that are live while a block adds to them."""
    own = rows * axis.down
    before = axis.radius if rows >= axis.anchors else own
    return before + max(axis.span(rows) - axis.radius, own)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sizes, dtypes and options of one launch.

    Attributes:
      bands: Sizes of the strips and their products.
      kinds: Index of the lane tables of each strip.
      config: Sizes of a block.
      channels: Channels of the features.
      normalizer: Normalizer that the launch applies to the kernels, if any.
      product_dtype: Dtype of the factors of the banded products.
      kernels_dtype: Dtype to which normalised kernels are rounded.
      interpret: Whether the launch is interpreted.
    """

    bands: Bands
    kinds: tuple[int, ...]
    config: TuningConfig
    channels: int
    normalizer: Normalizer | None
    product_dtype: Any
    kernels_dtype: Any
    interpret: bool

    @property
    def geometry(self) -> Geometry:
        return self.bands.geometry

    @property
    def blocks(self) -> int:
        """Number of blocks of rows of anchors."""
        return -(-self.geometry.rows.anchors // self.config.rows)

    @property
    def channel_blocks(self) -> int:
        return self.channels // self.config.channels

    @property
    def group_channels(self) -> int:
        return self.channels // self.geometry.groups

    @property
    def block_groups(self) -> int:
        """Number of groups in a block of channels: one, or all."""
        rest = self.group_channels % self.config.channels
        return self.geometry.groups if rest else 1

    @property
    def sums_by_product(self) -> bool:
        """Whether the MXU may sum the taps of each phase and group."""
        return self.bands.few_lanes and self.normalizer in (
            "softmax",
            "normalized_sigmoid",
        )

    @property
    def source_rows(self) -> int:
        """Rows of a block of features."""
        rows = self.geometry.rows
        return min(rows.span(self.config.rows), rows.size)

    def first_source_row(self, block: Any) -> Any:
        """Return the first source row of a block, shifted inwards at the edges."""
        rows = self.geometry.rows
        first = block * (self.config.rows * rows.down) - rows.radius
        return jnp.clip(first, 0, rows.size - self.source_rows)

    @property
    def ragged_rows(self) -> bool:
        """Whether the last block exceeds the output rows."""
        rows = self.geometry.rows
        return self.blocks * self.config.rows * rows.up != rows.output_size

    @property
    def ragged_columns(self) -> bool:
        """Whether blocks exceed the output columns."""
        columns = self.geometry.columns
        return self.bands.anchors * columns.up != columns.output_size

    @property
    def delay(self) -> int:
        """Steps between the anchors of a block and the write of its source rows.

        For the gradient of the features: the next block adds to the last rows of this
        one, so these are complete a step later, unless there is one block alone.
        """
        return 0 if self.blocks == 1 else 1

    @property
    def ring_rows(self) -> int:
        """Rows of sums of the gradient of the features, a ring buffer."""
        return ring_rows(self.geometry.rows, self.config.rows)

    def ring_row(self, step: Any, row: Any) -> Any:
        """Return the index in the ring of a row, counted from the step's first row."""
        first = step * (self.config.rows * self.bands.down) + self.ring_rows
        return lax.rem(first + row, self.ring_rows)

    def each_row(self, run: Callable[[Any], None]) -> None:
        """Call `run` for each row of a block, unrolled if rows have few strips."""
        self.repeat(self.config.rows, run, at_once=max(1, 8 // self.bands.strips))

    def repeat(self, count: int, run: Callable[[Any], None], *, at_once: int) -> None:
        """Call `run` for 0 to count - 1, in a loop unrolled by up to `at_once`."""
        most = 1 if self.interpret else at_once
        own = next(n for n in range(most, 0, -1) if count % n == 0)

        def turn(i: Any, _: None) -> None:
            for j in range(own):
                run(i * own + j)

        lax.fori_loop(0, count // own, turn, None)

    def dot(self, a: Any, b: Any, contracted: tuple[int, int]) -> Any:
        """Return a product with float32 sums, of float32 factors in full precision."""
        exact = self.product_dtype == jnp.float32
        return lax.dot_general(
            a.astype(self.product_dtype),
            b.astype(self.product_dtype),
            (((contracted[0],), (contracted[1],)), ((), ())),
            precision=lax.Precision.HIGHEST if exact else lax.Precision.DEFAULT,
            preferred_element_type=jnp.float32,
        )


def plan_of(
    call: Call, launch: Launch, config: TuningConfig, *, interpret: bool
) -> tuple[Plan, Tables]:
    """Return the plan and the lane tables of a launch; raise if `config` is invalid."""
    _check(call, launch, config)
    bands = bands_of(call.geometry, launch, config)
    lookup = tables(bands)
    plan = Plan(
        bands=bands,
        kinds=lookup.kinds,
        config=config,
        channels=call.channels,
        normalizer=call.normalizer,
        product_dtype=common_dtype(call.features_dtype, call.kernels_dtype),
        kernels_dtype=call.kernels_dtype,
        interpret=interpret,
    )
    return plan, lookup


def _check(call: Call, launch: Launch, config: TuningConfig) -> None:
    if config.rows % config.lines:
        raise ValueError(
            f"`config.lines` must divide `config.rows`, got {config.lines} and "
            f"{config.rows}."
        )
    if config.lines > 1 and launch != "grad_features":
        raise ValueError(
            f"`config.lines` must be 1 for {launch!r}, got {config.lines}."
        )
    rows = call.geometry.rows
    if launch == "grad_features" and config.rows < min(least_rows(rows), rows.anchors):
        raise ValueError(
            f"`config.rows` must be at least {least_rows(rows)} for {launch!r} with "
            f"`kernel_size={rows.kernel_size}`, got {config.rows}."
        )
