"""Launches on a mesh: each device runs its own examples, rows and channels.

A kernel is opaque to the compiler, which would gather its operands on every device (or
refuse). So a launch is wrapped in `jax.shard_map` over the axes of the mesh in force.
Examples need nothing from each other. Channels neither, except that the gradient of
kernels that all channels share is a sum over them. Rows need those that their windows
reach, which neighbouring devices exchange.
"""

import contextlib
import contextvars
import dataclasses
import functools
import math
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Geometry, Size
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, DTypeLike

from carafe_jax.errors import RefusedError

_Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Axes:
    """Names of mesh axes; `batch=None` stands for every axis of the mesh."""

    batch: _Axes | None = None
    rows: _Axes = ()
    channels: _Axes = ()


_AXES = contextvars.ContextVar("axes", default=Axes())


@contextlib.contextmanager
def batch_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their batch.

    For meshes with axes of type Auto, where the sharding of an array is not known while
    tracing; with Explicit axes it is read off the array. Without this, the batch is
    split over every axis of the mesh, in order. An axis whose size does not divide the
    batch is left out: along it the work is repeated. It acts while a function is
    traced: put it inside the function that is compiled, or around its first call.

    Args:
      *names: Axes of the mesh in force, outermost first; none: do not split.

    Raises:
      RefusedError: On the way, in `reassemble`, where the mesh has no axis of a name.
    """
    with _replaced(batch=names):
        yield


@contextlib.contextmanager
def row_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split the rows of their maps.

    As `batch_axes`; without it rows are not split. Each device receives from its
    neighbours the rows that its windows reach. Rows must fall on devices in whole
    anchors (blocks of d source rows), at least as many as a window reaches.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(rows=names):
        yield


@contextlib.contextmanager
def channel_axes(*names: str) -> Generator[None, None, None]:
    """Name the mesh axes over which reassemblies split their channels.

    As `batch_axes`; without it channels are not split. Groups stay whole: with more
    than one group, an axis must divide their number, and is left out if it does not.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(channels=names):
        yield


@contextlib.contextmanager
def _replaced(**changes: _Axes) -> Generator[None, None, None]:
    token = _AXES.set(dataclasses.replace(_AXES.get(), **changes))
    try:
        yield
    finally:
        _AXES.reset(token)


def axes_in_force() -> Axes:
    """Return the axes set by `batch_axes`, `row_axes` and `channel_axes`."""
    return _AXES.get()


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
        weights = geometry.groups * geometry.kernel_size**2
        if self.row == "source":
            return examples, rows.size, columns.size, channels
        if self.row == "anchor":
            phases = rows.up * columns.up
            return examples, rows.anchors, columns.anchors, phases, weights
        pixels = examples, rows.output_size, columns.output_size
        if self.channels is not None:
            return *pixels, channels
        return *pixels, geometry.groups, geometry.kernel_size**2

    def spec(self, split: "Split") -> PartitionSpec:
        """Split the examples, the rows, and the channels or groups."""
        parts: list[_Axes | None] = [None] * self.rank
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


@dataclasses.dataclass(frozen=True)
class Split:
    """Over which axes of the mesh examples, rows and channels are split."""

    batch: _Axes
    rows: _Axes
    channels: _Axes
    grouped: bool
    """Whether groups are split with their channels."""


def per_shard(
    launch: Callable[..., Array],
    operands: Sequence[tuple[Array, Layout]],
    result: Layout,
    *,
    geometry: Geometry,
    axes: Axes,
    dtype: DTypeLike,
) -> Array:
    """Run `launch(*shares, geometry=..., partial=...)` on each device's share.

    `launch` receives the geometry of its shard. Where channels are split and groups are
    not, a result without channels is `partial`: it is summed over the devices, and then
    rounded to `dtype`.
    """
    arrays = [array for array, _ in operands]
    mesh = _mesh(arrays)
    if mesh is None:
        return launch(*arrays, geometry=geometry, partial=False)
    free = _free_axes(mesh)
    explicit: set[str] = set(free) & set(mesh.explicit_axes)
    # Not for Explicit axes, even of size 1: reshapes there need an output sharding.
    if not explicit and math.prod(mesh.shape[name] for name in free) == 1:
        return launch(*arrays, geometry=geometry, partial=False)
    split = _choose(operands, mesh, free, geometry, axes)
    layouts = [layout for _, layout in operands]
    specs = [layout.spec(split) for layout in layouts]
    summed = split.channels if result.channels is None and not split.grouped else ()
    share = _share(geometry, split, mesh)

    def run(*shares: Array) -> Array:
        out = _with_neighbours(
            functools.partial(launch, partial=bool(summed)),
            shares,
            layouts,
            result,
            geometry=share,
            axes=split.rows,
        )
        if summed:
            return cast(Array, jax.lax.psum(out, summed)).astype(dtype)
        return out

    if explicit:
        arrays = [
            jax.sharding.reshard(array, NamedSharding(mesh, _only(spec, explicit)))
            for array, spec in zip(arrays, specs, strict=True)
        ]
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=tuple(specs),
        out_specs=result.spec(split),
        axis_names=set(free),
        check_vma=False,
    )(*arrays)


def _share(geometry: Geometry, split: Split, mesh: Any) -> Geometry:
    """Return the geometry of one device's rows and groups."""
    rows, channels = (
        math.prod(mesh.shape[name] for name in names)
        for names in (split.rows, split.channels)
    )
    return dataclasses.replace(
        geometry,
        rows=dataclasses.replace(geometry.rows, size=geometry.rows.size // rows),
        groups=geometry.groups // channels if split.grouped else geometry.groups,
    )


def _with_neighbours(
    launch: Callable[..., Array],
    shares: Sequence[Array],
    layouts: Sequence[Layout],
    result: Layout,
    *,
    geometry: Geometry,
    axes: _Axes,
) -> Array:
    """Launch with the rows of the devices above and below, as far as windows reach."""
    if not axes:
        return launch(*shares, geometry=geometry)
    reach, rows = _reach(geometry), geometry.rows
    wider = dataclasses.replace(rows, size=rows.size + 2 * reach * rows.down)
    geometry = dataclasses.replace(geometry, rows=wider)
    shares = [
        _exchange(share, reach * layout.rows_per_anchor(geometry), axes)
        for share, layout in zip(shares, layouts, strict=True)
    ]
    out = launch(*shares, geometry=geometry)
    margin = reach * result.rows_per_anchor(geometry)
    return out[:, margin : out.shape[1] - margin]


def _reach(geometry: Geometry) -> int:
    """Anchors above or below that share source pixels with an anchor's windows."""
    low, high = geometry.rows.reader_shifts
    return max(-low, high)


def _exchange(x: Array, count: int, axes: _Axes) -> Array:
    """Add `count` rows of each neighbour; beyond the map's edge they are zero."""
    size = jax.lax.axis_size(axes)
    down = [(i, i + 1) for i in range(size - 1)]
    up = [(i + 1, i) for i in range(size - 1)]
    above = jax.lax.ppermute(x[:, x.shape[1] - count :], axes, down)
    below = jax.lax.ppermute(x[:, :count], axes, up)
    return jnp.concatenate([above, x, below], axis=1)


def like(x: Array, other: Array) -> Array:
    """Give the gradient `x` of `other` its type of sharding."""
    own, wanted = jax.typeof(x), jax.typeof(other)
    # In a surrounding `shard_map`: what all devices share is summed over all of them.
    varying = own.manual_axis_type.varying - wanted.manual_axis_type.varying
    if varying:
        x = cast(Array, jax.lax.psum(x, tuple(varying)))
    if wanted.sharding.mesh.empty or not wanted.sharding.mesh.explicit_axes:
        return x
    return jax.sharding.reshard(x, wanted.sharding)


def device_kind(arrays: Sequence[Array]) -> str | None:
    """Return the kind of the devices that are compiled for, if the mesh has it."""
    mesh = _mesh(arrays)
    device = None if mesh is None else mesh.abstract_device
    return None if device is None else device.device_kind


def _mesh(arrays: Sequence[Array]) -> Any | None:
    """Return the mesh of the arrays or else the one in force."""
    for array in arrays:
        mesh = jax.typeof(array).sharding.mesh
        if not mesh.empty:
            return mesh
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def _free_axes(mesh: Any) -> _Axes:
    """Axes that no surrounding `shard_map` has taken."""
    types = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in types if kind != AxisType.Manual)


def _choose(
    operands: Sequence[tuple[Array, Layout]],
    mesh: Any,
    free: _Axes,
    geometry: Geometry,
    axes: Axes,
) -> Split:
    """Choose the axes over which examples, rows and channels are split."""
    for name in (*(axes.batch or ()), *axes.rows, *axes.channels):
        if name not in mesh.axis_names:
            raise RefusedError(
                "`batch_axes`, `row_axes` and `channel_axes` must name axes of the "
                f"mesh in force, {mesh.axis_names}, got {name!r}."
            )
    auto = [name for name in free if name in mesh.auto_axes]
    shown = [_shown(array, layout) for array, layout in operands]
    batch, rows, channels = (
        [name for parts in shown for name in parts[kind]] for kind in range(3)
    )
    rows += [name for name in axes.rows if name in auto]
    channels += [name for name in axes.channels if name in auto]
    wanted = auto if axes.batch is None else axes.batch
    batch += [
        name for name in wanted if name in auto and name not in (*rows, *channels)
    ]
    width = [array.shape[3] for array, layout in operands if layout.channels]
    groups = geometry.groups
    return Split(
        batch=_dividing(batch, operands[0][0].shape[0], mesh),
        rows=_fitting(rows, geometry, mesh),
        channels=_dividing(channels, groups if groups > 1 else width[0], mesh),
        grouped=groups > 1,
    )


def _shown(array: Array, layout: Layout) -> tuple[_Axes, _Axes, _Axes]:
    """Return the Explicit axes over which an array is split, by its type."""
    spec = [*jax.typeof(array).sharding.spec]
    spec += [None] * (layout.rank - len(spec))
    parts = [(part,) if isinstance(part, str) else tuple(part or ()) for part in spec]
    if parts[2]:
        raise NotImplementedError(
            "A reassembly cannot split columns over devices: reshard its arrays over "
            f"examples, rows or channels, got one of sharding {spec}."
        )
    channels = () if layout.channels is None else parts[layout.channels]
    return parts[0], parts[1], channels


def _fitting(names: Sequence[str], geometry: Geometry, mesh: Any) -> _Axes:
    """Return the axes that split the rows, if each device has whole anchors enough."""
    names = tuple(dict.fromkeys(names))
    devices = math.prod(mesh.shape[name] for name in names)
    down, reach = geometry.rows.down, _reach(geometry)
    own, rest = divmod(geometry.rows.size, devices * down)
    if devices > 1 and (rest or own < reach):
        raise NotImplementedError(
            f"Rows of a reassembly can be split over {devices} devices if their number "
            f"is a multiple of {devices * down} and each device has at least "
            f"{reach * down}, got {geometry.rows.size} rows."
        )
    return names


def _dividing(names: Sequence[str], size: int, mesh: Any) -> _Axes:
    """Keep, in order, the axes that together divide a dimension."""
    kept: list[str] = []
    for name in dict.fromkeys(names):
        if size % math.prod(mesh.shape[other] for other in (*kept, name)) == 0:
            kept.append(name)
    return tuple(kept)


def _only(spec: PartitionSpec, names: set[str]) -> PartitionSpec:
    """Drop every axis that is not of `names`."""
    return PartitionSpec(
        *(tuple(name for name in part or () if name in names) or None for part in spec)
    )
