"""Launches on a mesh: each device runs its own examples and channels.

A kernel is opaque to the compiler, which would gather its operands on every device (or
refuse). So a launch is wrapped in `jax.shard_map` over the axes of the mesh in force.
Examples need nothing from each other. Channels neither, except that the gradient of
kernels that all channels share is a sum over them.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, DTypeLike

_Axes = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Axes:
    """Names of mesh axes; `batch=None` stands for every axis of the mesh."""

    batch: _Axes | None = None
    channels: _Axes = ()


_AXES = contextvars.ContextVar("axes", default=Axes())


@contextlib.contextmanager
def batch_axes(*names: str) -> Iterator[None]:
    """Name the mesh axes over which reassemblies split their batch.

    For meshes with axes of type Auto, where the sharding of an array is not known while
    tracing; with Explicit axes it is read off the array. Without this, the batch is
    split over every axis of the mesh, in order. An axis whose size does not divide the
    batch is left out: along it the work is repeated. It acts while a function is
    traced: put it inside the function that is compiled, or around its first call.

    Args:
      *names: Axes of the mesh in force, outermost first; none: do not split.

    Raises:
      ValueError: On the way, in `reassemble`, where the mesh has no axis of a name.
    """
    with _replaced(batch=names):
        yield


@contextlib.contextmanager
def channel_axes(*names: str) -> Iterator[None]:
    """Name the mesh axes over which reassemblies split their channels.

    As `batch_axes`; without it channels are not split. Groups stay whole: with more
    than one group, an axis must divide their number, and is left out if it does not.

    Args:
      *names: Axes of the mesh in force, outermost first.
    """
    with _replaced(channels=names):
        yield


@contextlib.contextmanager
def _replaced(**changes: _Axes) -> Iterator[None]:
    token = _AXES.set(dataclasses.replace(_AXES.get(), **changes))
    try:
        yield
    finally:
        _AXES.reset(token)


def axes_in_force() -> Axes:
    """Return what `batch_axes` and `channel_axes` say here."""
    return _AXES.get()


@dataclasses.dataclass(frozen=True)
class Layout:
    """Which dimension of an array holds examples, channels or groups of channels."""

    rank: int
    channels: int | None = None
    groups: int | None = None

    def spec(self, batch: _Axes, channels: _Axes, *, grouped: bool) -> PartitionSpec:
        """Split the examples, and the channels with their groups if `grouped`."""
        parts: list[_Axes | None] = [None] * self.rank
        parts[0] = batch or None
        dimension = self.groups if grouped else None
        if self.channels is not None:
            dimension = self.channels
        if dimension is not None:
            parts[dimension] = channels or None
        return PartitionSpec(*parts)


MAP = Layout(rank=4, channels=3)  # (n, h, w, c)
KERNELS = Layout(rank=5, groups=3)  # (n, oh, ow, groups, taps)
LOGITS = Layout(rank=5, groups=4)  # (n, ah, aw, phases, groups * taps)


def per_shard(
    launch: Callable[..., Array],
    operands: Sequence[tuple[Array, Layout]],
    result: Layout,
    *,
    groups: int,
    axes: Axes,
    dtype: DTypeLike,
) -> Array:
    """Run `launch(*shares, groups=..., partial=...)` on each device's share.

    `launch` hears how many groups its share holds. Where channels are split and groups
    are not, a result without channels is `partial`: it is summed over the devices, and
    then rounded to `dtype`.
    """
    arrays = [array for array, _ in operands]
    mesh = _mesh(arrays)
    free = () if mesh is None else _free_axes(mesh)
    if mesh is None or math.prod(mesh.shape[name] for name in free) == 1:
        return launch(*arrays, groups=groups, partial=False)
    batch, channels = _choose(operands, mesh, free, groups, axes)
    parts = math.prod(mesh.shape[name] for name in channels)
    grouped = groups > 1
    specs = [layout.spec(batch, channels, grouped=grouped) for _, layout in operands]
    summed = channels if result.channels is None and not grouped else ()

    def run(*shares: Array) -> Array:
        own = groups // parts if grouped else groups
        out = launch(*shares, groups=own, partial=bool(summed))
        return jax.lax.psum(out, summed).astype(dtype) if summed else out

    explicit = set(free) & set(mesh.explicit_axes)
    if explicit:
        arrays = [
            jax.sharding.reshard(array, NamedSharding(mesh, _only(spec, explicit)))
            for array, spec in zip(arrays, specs, strict=True)
        ]
    return jax.shard_map(
        run,
        mesh=mesh,
        in_specs=tuple(specs),
        out_specs=result.spec(batch, channels, grouped=grouped),
        axis_names=set(free),
        check_vma=False,
    )(*arrays)


def like(x: Array, other: Array) -> Array:
    """Give `x` the sharding of `other`, where types tell it (Explicit axes)."""
    sharding = jax.typeof(other).sharding
    if sharding.mesh.empty or not sharding.mesh.explicit_axes:
        return x
    return jax.sharding.reshard(x, sharding)


def device_kind(arrays: Sequence[Array]) -> str | None:
    """Return the kind of the devices that are compiled for, if the mesh tells it."""
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
    groups: int,
    axes: Axes,
) -> tuple[_Axes, _Axes]:
    """Choose the axes over which the batch and the channels are split."""
    for name in (*(axes.batch or ()), *axes.channels):
        if name not in mesh.axis_names:
            raise ValueError(
                "`batch_axes` and `channel_axes` must name axes of the mesh in force, "
                f"{mesh.axis_names}, got {name!r}."
            )
    shown = [_shown(array, layout) for array, layout in operands]
    auto = [name for name in free if name in mesh.auto_axes]
    split = [name for _, channels in shown for name in channels]
    split += [name for name in axes.channels if name in auto]
    wanted = axes.batch if axes.batch is not None else auto
    batch = [name for examples, _ in shown for name in examples]
    batch += [name for name in wanted if name in auto and name not in split]
    size = operands[0][0].shape[0]
    maps = [array.shape[3] for array, layout in operands if layout.channels is not None]
    return (
        _dividing(batch, size, mesh),
        _dividing(split, groups if groups > 1 else maps[0], mesh),
    )


def _shown(array: Array, layout: Layout) -> tuple[_Axes, _Axes]:
    """Explicit axes over which the type of an array says that it is split."""
    spec = [*jax.typeof(array).sharding.spec]
    spec += [None] * (layout.rank - len(spec))
    parts = [(part,) if isinstance(part, str) else tuple(part or ()) for part in spec]
    if parts[1] or parts[2]:
        raise NotImplementedError(
            "A reassembly cannot split rows or columns over devices: reshard its "
            f"arrays over examples or channels, got one of sharding {spec}."
        )
    return parts[0], () if layout.channels is None else parts[layout.channels]


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
