"""Layouts of tiles over the 128 threads of a warpgroup, and in shared memory.

The interpreter of Mosaic GPU knows neither layouts nor reshaped references: with
`interpret` the same reads are slices of values.
"""

import dataclasses
import inspect
import math
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.mosaic import gpu as mgpu
from jax.experimental.pallas import mosaic_gpu as plgpu
from jaxtyping import Array

WARPS, WARP = 4, 32
THREADS = WARPS * WARP


def round_up(size: int, unit: int) -> int:
    return math.ceil(size / unit) * unit


def tiled(
    tiles: tuple[tuple[int, ...], ...],
    *,
    warps: tuple[Any, ...],
    lanes: tuple[Any, ...],
) -> Any:
    """Build a layout whose last dimension is the vector of a thread."""
    layout = mgpu.TiledLayout(
        plgpu.Tiling(tiles), warps, lanes, -1, _check_canonical=False
    ).canonicalize()
    return plgpu.Layout.TILED(
        layout.tiling, layout.warp_dims, layout.lane_dims, layout.vector_dim
    )


def rows_of(count: int) -> int:
    """Round up to a number of rows that a warp, two or four can hold."""
    return round_up(count, WARP) if count <= 2 * WARP else round_up(count, THREADS)


def rows_layout(rows: int) -> Any:
    """Give each thread whole rows; few rows are held by several warps alike."""
    if rows % THREADS == 0:
        return tiled(((THREADS,), (WARP,), (1,)), warps=(-3,), lanes=(-2,))
    if rows == 2 * WARP:
        pair = plgpu.Replicated(2)
        return tiled(((rows,), (WARP,), (1,)), warps=(pair, -3), lanes=(-2,))
    return tiled(((WARP,), (1,)), warps=(plgpu.Replicated(WARPS),), lanes=(-2,))


@dataclasses.dataclass(frozen=True)
class Tile:
    """A (pixels, channels) tile: lanes lie along the channels, then along pixels.

    A thread holds `run` neighbouring pixels, so that the windows of neighbours, which
    overlap, are read once.
    """

    lanes: int
    vector: int
    run: int

    @property
    def pixels(self) -> int:
        return THREADS // self.lanes * self.run

    @property
    def layout(self) -> Any:
        width = self.lanes * self.vector
        warp = self.pixels // WARPS
        tiles = (
            (self.pixels, width),
            (warp, width),
            (self.run, width),
            (1, self.vector),
        )
        return tiled(tiles, warps=(-8,), lanes=(-6, -3))

    @property
    def pixel_layout(self) -> Any:
        return self.layout.reduce(1)


@dataclasses.dataclass(frozen=True)
class Stride:
    """Entries `start + (block + i) * step + offset` of an axis, for i < count."""

    count: int
    step: int = 1
    block: int = 0
    offset: Any = 0
    start: Any = 0

    @property
    def first(self) -> Any:
        return self.start + self.block * self.step + self.offset


# Where JAX has this, an assignment must be free of bank conflicts; JAX 0.10 has it not.
_STORE: Any = getattr(plgpu, "store", None)
# JAX 0.10 asks for an index; JAX 0.12 has dropped it.
_INDEX = inspect.signature(plgpu.load).parameters.get("idx")
_WHOLE = (...,) if _INDEX is not None and _INDEX.default is _INDEX.empty else ()


def _view(ref: Any, lead: tuple[Any, ...], stride: Stride) -> Any:
    """Split the axis after `lead` by the step; return the view that is requested."""
    _, *rest = ref.shape[len(lead) :]
    whole = tuple(slice(None) for _ in rest)
    if stride.step == 1:
        return ref.at[(*lead, pl.ds(stride.start + stride.block, stride.count), *whole)]
    length = stride.block + stride.count
    ref = ref.at[(*lead, pl.ds(stride.start, length * stride.step), *whole)]
    view = ref.reshape(length, stride.step, *rest)
    return view.at[(pl.ds(stride.block, stride.count), stride.offset, *whole)]


def load(
    ref: Any, lead: tuple[Any, ...], stride: Stride, *, layout: Any, interpret: bool
) -> Array:
    """Read every `step`-th entry of the axis that follows the indices `lead`."""
    if interpret:
        value = ref[(*lead, ...)] if lead else ref[...]
        length = (stride.count - 1) * stride.step + 1
        return lax.dynamic_slice_in_dim(value, stride.first, length)[:: stride.step]
    view = _view(ref, lead, stride)
    return plgpu.load(view, *_WHOLE, layout=layout, optimized=False)


def store(
    ref: Any, lead: tuple[Any, ...], stride: Stride, value: Array, *, interpret: bool
) -> None:
    """Write every `step`-th entry of the axis that follows the indices `lead`."""
    if interpret:
        stop = stride.first + (stride.count - 1) * stride.step + 1
        ref[(*lead, slice(stride.first, stop, stride.step))] = value
        return
    view = _view(ref, lead, stride)
    if _STORE is None:
        view[...] = value
    else:
        _STORE(view, value, optimized=False)


def cast(value: Array, layout: Any, *, interpret: bool) -> Array:
    """Fix the layout of a value."""
    return value if interpret else plgpu.layout_cast(value, layout)


def full(shape: tuple[int, ...], layout: Any, *, interpret: bool) -> Array:
    """Return zeros."""
    return cast(jnp.zeros(shape, jnp.float32), layout, interpret=interpret)


def across(pixels: Array, tile: Tile, channels: int, *, interpret: bool) -> Array:
    """Repeat a value of each pixel over the channels."""
    shape = (pixels.shape[0], channels)
    repeated = lax.broadcast_in_dim(pixels, shape, (0,))
    return cast(repeated, tile.layout, interpret=interpret)


def interpreter() -> Any:
    """Return the parameters that make Pallas interpret a Mosaic GPU launch."""
    public = getattr(plgpu, "InterpretGPUParams", None)
    if public is not None:
        return public()
    # JAX 0.10 has it in its own modules only.
    from jax._src.pallas.mosaic_gpu.interpret import params

    return params.InterpretGPUParams()
