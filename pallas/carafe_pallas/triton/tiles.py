"""The tile of a program: its pixels, its blocks of channels, their loads and stores."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as pltriton
from jaxtyping import Array

from carafe_pallas.triton.plan import Plan, Run, padded


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Coordinates of pixels of a tile, and whether each is a pixel of the map."""

    y: Array
    x: Array
    exist: Array

    def column(self) -> "Pixels":
        return Pixels(self.y[:, None], self.x[:, None], self.exist[:, None])

    def row(self) -> "Pixels":
        return Pixels(self.y[None], self.x[None], self.exist[None])


@dataclasses.dataclass(frozen=True)
class Tile:
    """The position of a program: image, first anchor, group and share of channels."""

    plan: Plan
    n: Array
    row: Array
    column: Array
    group: Array
    program: Array

    @classmethod
    def of_program(cls, plan: Plan) -> "Tile":
        # Programs of a tile have neighbouring indices, so that they share the L2 cache.
        rest, program = divide(pl.program_id(0), plan.programs)
        column, group = divide(rest, plan.geometry.groups)
        config = plan.config
        row = pl.program_id(1) * config.rows
        n = pl.program_id(2)
        return cls(plan, n, row, column * config.columns, group, program)

    def block(self, index: Array | int) -> Array:
        """Return the index, in the group, of a block of channels of this program."""
        return index * self.plan.programs + self.program

    def each_block(self, first: int) -> Callable[[Callable[[Array], None]], None]:
        """Return a decorator that runs a function for each block from `first` on."""

        def do(body: Callable[[Array], None]) -> None:
            def step(index: Array, _: None) -> None:
                body(self.block(index))

            if self.plan.steps > first:
                lax.fori_loop(first, self.plan.steps, step, None)

        return do

    def pixels(self, runs: tuple[Run, Run], index: Array) -> Pixels:
        """Return the pixels at flat indices into a tile."""
        rows, columns = runs
        i, j = divide(index, columns.count)
        y = self.row * rows.stride + rows.shift + i
        x = self.column * columns.stride + columns.shift + j
        # Indices are padded to a power of two, past the last row.
        exist = (i < rows.count) & (y >= 0) & (y < rows.size)
        return Pixels(y, x, exist & (x >= 0) & (x < columns.size))

    def load(self, ref: Any, pixels: Pixels, block: Array | int) -> Array:
        """Load a block of channels of pixels; zero outside the map and the group."""
        at, inside = self._channels(block)
        pixels = pixels.column()
        ref = ref.at[self.n, pixels.y, pixels.x, at]
        return pltriton.load(ref, mask=pixels.exist & inside, other=0)

    def store(
        self, ref: Any, pixels: Pixels, values: Array, block: Array | int
    ) -> None:
        at, inside = self._channels(block)
        pixels = pixels.column()
        ref = ref.at[self.n, pixels.y, pixels.x, at]
        pltriton.store(ref, values.astype(ref.dtype), mask=pixels.exist & inside)

    def _channels(self, block: Array | int) -> tuple[Array, Array]:
        # The last block, or a block past it, may reach into the next group.
        size, width = self.plan.config.channels, self.plan.group_channels
        at = (block * size + jnp.arange(size))[None]
        return self.group * width + at, at < width


def divide(number: Array, by: int) -> tuple[Array, Array]:
    """Return quotient and remainder of numbers that are not negative."""
    # `//` and `%` would add corrections for negative numbers.
    return lax.div(number, by), lax.rem(number, by)


def sum_pixels(plan: Plan, runs: tuple[Run, Run], add: Any, own: int) -> Array:
    """Call `add` for the pixels of a tile, `depth` of them at a time."""
    # Shared memory holds both factors of a product, which limits `depth`.
    depth = min(plan.config.depth, padded(runs))
    chunks = pl.cdiv(runs[0].count * runs[1].count, depth)
    total = jnp.zeros((own, plan.config.channels), jnp.float32)
    if chunks == 1:
        return add(jnp.arange(depth), total)

    def body(chunk: Array, total: Array) -> Array:
        return add(chunk * depth + jnp.arange(depth), total)

    return lax.fori_loop(0, chunks, body, total)
