"""Layouts of arrays over the threads of a warpgroup, and strided loads and stores.

Mosaic GPU's interpreter supports neither layouts nor reshaped references: with
`interpret`, the same loads and stores are slices of values.
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
    """Round up to 32, 64 or a multiple of 128 rows, for `rows_layout`."""
    return round_up(count, WARP) if count <= 2 * WARP else round_up(count, THREADS)


def rows_layout(rows: int) -> Any:
    """Return a layout with whole rows in a thread; it replicates fewer than 128."""
    if rows % THREADS == 0:
        return tiled(((THREADS,), (WARP,), (1,)), warps=(-3,), lanes=(-2,))
    if rows == 2 * WARP:
        pair = plgpu.Replicated(2)
        return tiled(((rows,), (WARP,), (1,)), warps=(pair, -3), lanes=(-2,))
    return tiled(((WARP,), (1,)), warps=(plgpu.Replicated(WARPS),), lanes=(-2,))


@dataclasses.dataclass(frozen=True)
class Tile:
    """A (pixels, channels) tile, with the lanes along the channels, then the pixels.

    A thread holds `run` neighbouring pixels, so that what their windows share is loaded
    once.
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


# JAX 0.10 has no `plgpu.store`. In versions that do, assignment raises for layouts with
# bank conflicts.
_STORE: Any = getattr(plgpu, "store", None)
# JAX 0.10 requires an index; JAX 0.12 takes none.
_INDEX = inspect.signature(plgpu.load).parameters.get("idx")
_WHOLE = (...,) if _INDEX is not None and _INDEX.default is _INDEX.empty else ()


def _view(ref: Any, lead: tuple[Any, ...], stride: Stride) -> Any:
    """Return a view of the entries: the axis after `lead`, reshaped by the step."""
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
    """Load the entries of `stride` from the axis that follows the indices `lead`."""
    if interpret:
        value = ref[(*lead, ...)] if lead else ref[...]
        length = (stride.count - 1) * stride.step + 1
        return lax.dynamic_slice_in_dim(value, stride.first, length)[:: stride.step]
    view = _view(ref, lead, stride)
    return plgpu.load(view, *_WHOLE, layout=layout, optimized=False)


def store(
    ref: Any, lead: tuple[Any, ...], stride: Stride, value: Array, *, interpret: bool
) -> None:
    """Store the entries of `stride` to the axis that follows the indices `lead`."""
    if interpret:
        stop = stride.first + (stride.count - 1) * stride.step + 1
        ref[(*lead, slice(stride.first, stop, stride.step))] = value
        return
    view = _view(ref, lead, stride)
    if _STORE is None:
        view[...] = value
    else:
        _STORE(view, value, optimized=False)


def layout_cast(value: Array, layout: Any, *, interpret: bool) -> Array:
    """Return a value in a layout; in the interpreter it has none."""
    return value if interpret else plgpu.layout_cast(value, layout)


def zeros(shape: tuple[int, ...], layout: Any, *, interpret: bool) -> Array:
    """Return float32 zeros in a layout."""
    return layout_cast(jnp.zeros(shape, jnp.float32), layout, interpret=interpret)


def repeat_over_channels(
    pixels: Array, tile: Tile, channels: int, *, interpret: bool
) -> Array:
    """Repeat a value of each pixel over the channels."""
    shape = (pixels.shape[0], channels)
    repeated = lax.broadcast_in_dim(pixels, shape, (0,))
    return layout_cast(repeated, tile.layout, interpret=interpret)


def interpreter() -> Any:
    """Return the parameters that make Pallas interpret a Mosaic GPU launch."""
    public = getattr(plgpu, "InterpretGPUParams", None)
    if public is not None:
        return public()
    # In JAX 0.10 it is private.
    from jax._src.pallas.mosaic_gpu.interpret import params

    return params.InterpretGPUParams()
