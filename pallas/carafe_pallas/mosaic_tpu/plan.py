"""The blocks of a launch, and all that is static in it."""

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
      channels: Channels; all of them, or a multiple of 128 that divides a group.
      lines: Rows of anchors of one product, which divide `rows`; more than one for the
        gradient of the features alone.
    """

    rows: int
    strip: int
    channels: int
    lines: int = 1


def bands_of(geometry: Geometry, launch: Launch, config: TuningConfig) -> Bands:
    """Return the sizes of the products of a launch."""
    # Sums of patches that were moved inwards could not be added to each other.
    inside = launch != "grad_features"
    return Bands(geometry, config.strip, inside, config.lines)


def least_rows(rows: Axis) -> int:
    """Return how many rows of anchors a block of the gradient of the features needs.

    The block after it must complete its sums.
    """
    return max(-(-rows.radius // rows.down), 1)


def common_dtype(dtype: jnp.dtype, other: jnp.dtype) -> jnp.dtype:
    """Return the dtype of products of the two, which have at most 32 bits."""
    # `jnp.promote_types` refuses to mix dtypes where JAX's setting is strict.
    return dtype if dtype == other else jnp.dtype(jnp.float32)


def ring_rows(axis: Axis, rows: int) -> int:
    """Count the rows of sums that live while a block of anchors adds to them."""
    own = rows * axis.down
    before = axis.radius if rows >= axis.anchors else own
    return before + max(axis.span(rows) - axis.radius, own)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Sizes, dtypes and options of one launch.

    Attributes:
      bands: The strips.
      kinds: Which lane tables each strip uses.
      config: Sizes of a block.
      channels: Of the features.
      normalizer: What the launch applies to the kernels.
      product_dtype: Of the factors of the banded products.
      kernels_dtype: What normalised kernels are rounded to.
      interpret: Whether an interpreter runs the launch.
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
        """Blocks of rows of anchors."""
        return -(-self.geometry.rows.anchors // self.config.rows)

    @property
    def channel_blocks(self) -> int:
        return self.channels // self.config.channels

    @property
    def group_channels(self) -> int:
        return self.channels // self.geometry.groups

    @property
    def block_groups(self) -> int:
        """Groups of a block of channels: all of them, or one that several share."""
        rest = self.group_channels % self.config.channels
        return self.geometry.groups if rest else 1

    @property
    def sums_by_product(self) -> bool:
        """Whether a matrix product sums the taps of each phase and group."""
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
        """First source row of a block of features, moved inwards at the edges."""
        rows = self.geometry.rows
        first = block * (self.config.rows * rows.down) - rows.radius
        return jnp.clip(first, 0, rows.size - self.source_rows)

    @property
    def ragged_rows(self) -> bool:
        """Whether blocks hold output rows that do not exist."""
        rows = self.geometry.rows
        return self.blocks * self.config.rows * rows.up != rows.output_size

    @property
    def ragged_columns(self) -> bool:
        """Whether blocks hold output columns that do not exist."""
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
        """Rows of sums that the gradient of the features keeps."""
        return ring_rows(self.geometry.rows, self.config.rows)

    def ring_row(self, step: Any, row: Any) -> Any:
        """Return the place of a row's sums; rows count from a step's first anchor."""
        first = step * (self.config.rows * self.bands.down) + self.ring_rows
        return lax.rem(first + row, self.ring_rows)

    def each_row(self, run: Callable[[Any], None]) -> None:
        """Run for each row of a block, short rows a few at once."""
        self.repeat(self.config.rows, run, at_once=max(1, 8 // self.bands.strips))

    def repeat(self, count: int, run: Callable[[Any], None], *, at_once: int) -> None:
        """Run for 0 .. count - 1, up to `at_once` in one turn of a loop."""
        most = 1 if self.interpret else at_once
        own = next(n for n in range(most, 0, -1) if count % n == 0)

        def turn(i: Any, _: None) -> None:
            for j in range(own):
                run(i * own + j)

        lax.fori_loop(0, count // own, turn, None)

    def dot(self, a: Any, b: Any, contracted: tuple[int, int]) -> Any:
        """Multiply with float32 sums; float32 factors stay float32."""
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
    """Plan a launch, or refuse a configuration that would lose rows of it."""
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
