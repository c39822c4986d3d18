"""The choice of the axes over which a launch is split."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
from carafe_pallas.geometry import Geometry
from jaxtyping import Array

from carafe_jax.errors import RefusedError
from carafe_jax.ops.sharding.axes import Axes, Names
from carafe_jax.ops.sharding.layout import (
    Layout,
    Operand,
    Split,
    channels_of,
    examples_of,
)
from carafe_jax.ops.sharding.mesh import devices, free_axes


def choose_split(
    operands: Sequence[Operand], mesh: Any, geometry: Geometry, axes: Axes
) -> Split:
    """Choose the axes over which batch, rows and channels are split.

    Explicit axes are read from the operands' types; Auto axes are those of `axes`.
    """
    check_names(axes, mesh)
    auto = [name for name in free_axes(mesh) if name in mesh.auto_axes]
    explicit = [_explicit_axes(array, layout) for array, layout in operands]
    batch, rows, channels = (
        [name for parts in explicit for name in parts[kind]] for kind in range(3)
    )
    rows += [name for name in axes.rows if name in auto]
    channels += [name for name in axes.channels if name in auto]
    wanted = auto if axes.batch is None else axes.batch
    batch += [
        name for name in wanted if name in auto and name not in (*rows, *channels)
    ]
    groups = geometry.groups
    grouped = groups > 1  # No group is divided.
    return Split(
        batch=dividing(batch, examples_of(operands), mesh),
        rows=_fitting(rows, geometry, mesh),
        channels=dividing(channels, groups if grouped else channels_of(operands), mesh),
        grouped=grouped,
    )


def reach(geometry: Geometry) -> int:
    """Return the halo: the number of anchors above, or below, that windows reach."""
    low, high = geometry.rows.reader_shifts
    return max(-low, high)


def check_names(axes: Axes, mesh: Any) -> None:
    """Raise unless the mesh has the axes."""
    for name in (*(axes.batch or ()), *axes.rows, *axes.channels):
        if name not in mesh.axis_names:
            raise RefusedError(
                "`batch_axes`, `row_axes` and `channel_axes` must name axes of the "
                f"mesh in force, {mesh.axis_names}, got {name!r}."
            )


def _explicit_axes(array: Array, layout: Layout) -> tuple[Names, Names, Names]:
    """Return the axes over which an array's type splits batch, rows and channels."""
    spec = [*jax.typeof(array).sharding.spec]
    spec += [None] * (layout.rank - len(spec))
    parts = [(part,) if isinstance(part, str) else tuple(part or ()) for part in spec]
    if parts[2]:
        raise NotImplementedError(
            "A reassembly cannot split columns over devices: reshard its arrays over "
            f"batch, rows or channels, got sharding {spec}."
        )
    channels = () if layout.channels is None else parts[layout.channels]
    return parts[0], parts[1], channels


def _fitting(names: Iterable[str], geometry: Geometry, mesh: Any) -> Names:
    """Return the axes that split the rows; raise if a device has too few anchors."""
    names = tuple(dict.fromkeys(names))
    count = devices(mesh, names)
    down, own_reach = geometry.rows.down, reach(geometry)
    own, rest = divmod(geometry.rows.size, count * down)
    if count > 1 and (rest or own < own_reach):
        raise NotImplementedError(
            f"Rows of a reassembly can be split over {count} devices if their number "
            f"is a multiple of {count * down} and each device has at least "
            f"{own_reach * down}, got {geometry.rows.size} rows."
        )
    return names


def dividing(names: Iterable[str], size: int, mesh: Any) -> Names:
    """Keep, in order, the axes whose sizes together divide `size`."""
    kept: list[str] = []
    for name in dict.fromkeys(names):
        if size % devices(mesh, (*kept, name)) == 0:
            kept.append(name)
    return tuple(kept)
