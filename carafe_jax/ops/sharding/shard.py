"""Launches on a mesh: each device runs its own examples, rows and channels.

A kernel is opaque to the partitioner, which would all-gather its operands (or fail). So
a launch is wrapped in `jax.shard_map` over the axes of the mesh in force. Examples are
independent. Channels are too, except that the gradient of kernels that all channels
share is a sum over them. Rows need a halo, the rows that their windows reach:
neighbouring devices exchange it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from carafe_pallas.geometry import Geometry, Size
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, DTypeLike

from carafe_jax.ops.sharding.axes import Axes, Names
from carafe_jax.ops.sharding.layout import (
    Layout,
    Operand,
    Split,
    channels_of,
    examples_of,
)
from carafe_jax.ops.sharding.mesh import devices, free_axes, mesh_of
from carafe_jax.ops.sharding.split import choose_split, reach


@dataclasses.dataclass(frozen=True)
class Partition:
    """The split of a launch over a mesh, and the sizes of a shard.

    `geometry` is that of a shard with its halo. `mesh` is None if the launch is not
    wrapped: its arrays are whole, or already shards of a surrounding `shard_map`.
    """

    mesh: Any | None  # Any: concrete and abstract meshes share no public type.
    split: Split
    geometry: Geometry
    examples: Size
    channels: int

    def sums(self, result: Layout) -> Names:
        """Return the axes over which partial results must be summed.

        Results without channels are partial if channels are split and groups are not.
        """
        partial = result.channels is None and not self.split.grouped
        return self.split.channels if partial else ()


def partition(
    operands: Sequence[Operand], *, geometry: Geometry, axes: Axes
) -> Partition:
    """Choose the split of a launch over the mesh of its operands, or the one in force.

    Args:
      operands: Operands of the launch, not split yet.
      geometry: Geometry of the whole map.
      axes: Axes that the user has named.
    """
    mesh = _mesh_to_split([array for array, _ in operands])
    if mesh is None:
        examples, channels = examples_of(operands), channels_of(operands)
        return Partition(None, Split(), geometry, examples, channels)
    split = choose_split(operands, mesh, geometry, axes)
    return Partition(
        mesh=mesh,
        split=split,
        geometry=_shard_geometry(geometry, split, mesh),
        examples=examples_of(operands) // devices(mesh, split.batch),
        channels=channels_of(operands) // devices(mesh, split.channels),
    )


def _mesh_to_split(arrays: Sequence[Array]) -> Any | None:
    """Return the mesh over which a launch is wrapped in `jax.shard_map`, if any."""
    mesh = mesh_of(arrays)
    if mesh is None:
        return None
    free = free_axes(mesh)
    # For Explicit axes even of size 1: outside of `shard_map`, reshapes of arrays on
    # them would need an output sharding.
    explicit = not set(free).isdisjoint(mesh.explicit_axes)
    return mesh if explicit or devices(mesh, free) > 1 else None


def _shard_geometry(geometry: Geometry, split: Split, mesh: Any) -> Geometry:
    """Return the geometry of one device's groups and rows, with the halo."""
    groups, rows = geometry.groups, geometry.rows
    if split.grouped:
        groups //= devices(mesh, split.channels)
    size = rows.size // devices(mesh, split.rows)
    if split.rows:
        size += 2 * reach(geometry) * rows.down
    return dataclasses.replace(
        geometry, rows=dataclasses.replace(rows, size=size), groups=groups
    )


def run_on_shards(
    launch: Callable[..., Array],
    operands: Sequence[Operand],
    result: Layout,
    parts: Partition,
    *,
    dtype: DTypeLike,
) -> Array:
    """Run `launch(*shards)` on each device's shards of the operands.

    Partial results are summed over devices, then rounded to `dtype`.
    """
    arrays = [array for array, _ in operands]
    if parts.mesh is None:
        return launch(*arrays)
    layouts = [layout for _, layout in operands]
    specs = [layout.spec(parts.split) for layout in layouts]
    summed = parts.sums(result)

    def run(*shards: Array) -> Array:
        out = launch(*_with_halo(shards, layouts, parts))
        out = _without_halo(out, result, parts)
        return cast(Array, jax.lax.psum(out, summed)).astype(dtype) if summed else out

    return jax.shard_map(
        run,
        mesh=parts.mesh,
        in_specs=tuple(specs),
        out_specs=result.spec(parts.split),
        axis_names=set(free_axes(parts.mesh)),
        check_vma=False,
    )(*_resharded(arrays, specs, parts.mesh))


def _with_halo(
    shards: Sequence[Array], layouts: Sequence[Layout], parts: Partition
) -> Sequence[Array]:
    """Add the halo: rows of the devices above and below, as far as windows reach."""
    names = parts.split.rows
    if not names:
        return shards
    return [
        _exchange(shard, _halo_rows(layout, parts), names)
        for shard, layout in zip(shards, layouts, strict=True)
    ]


def _without_halo(out: Array, result: Layout, parts: Partition) -> Array:
    """Crop the halo."""
    if not parts.split.rows:
        return out
    halo = _halo_rows(result, parts)
    return out[:, halo : out.shape[1] - halo]


def _halo_rows(layout: Layout, parts: Partition) -> int:
    """Return the number of rows of the halo at each edge of an array."""
    return reach(parts.geometry) * layout.rows_per_anchor(parts.geometry)


def _exchange(x: Array, count: int, names: Names) -> Array:
    """Add `count` rows of each neighbour; at the edges of the map they are zero."""
    size = jax.lax.axis_size(names)
    down = [(i, i + 1) for i in range(size - 1)]
    up = [(i + 1, i) for i in range(size - 1)]
    above = jax.lax.ppermute(x[:, x.shape[1] - count :], names, down)
    below = jax.lax.ppermute(x[:, :count], names, up)
    return jnp.concatenate([above, x, below], axis=1)


def _resharded(
    arrays: Sequence[Array], specs: Sequence[PartitionSpec], mesh: Any
) -> Sequence[Array]:
    """Reshard arrays on Explicit axes, whose shardings `jax.shard_map` checks."""
    explicit: set[str] = set(free_axes(mesh)) & set(mesh.explicit_axes)
    if not explicit:
        return arrays
    return [
        jax.sharding.reshard(array, NamedSharding(mesh, _only(spec, explicit)))
        for array, spec in zip(arrays, specs, strict=True)
    ]


def _only(spec: PartitionSpec, names: set[str]) -> PartitionSpec:
    """Drop every axis that is not in `names`."""
    return PartitionSpec(
        *(tuple(name for name in part or () if name in names) or None for part in spec)
    )
