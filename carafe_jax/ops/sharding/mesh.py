"""The mesh that a launch runs on."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType
from jaxtyping import Array

from carafe_jax.ops.sharding.axes import Names


# Any: concrete and abstract meshes share no public type.
def mesh_of(arrays: Sequence[Array]) -> Any | None:
    """Return the mesh of the arrays, else the one in force, if any."""
    for array in arrays:
        mesh = jax.typeof(array).sharding.mesh
        if not mesh.empty:
            return mesh
    mesh = jax.sharding.get_abstract_mesh()
    return None if mesh.empty else mesh


def free_axes(mesh: Any) -> Names:
    """Return the axes that are not manual in a surrounding `shard_map`."""
    types = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in types if kind != AxisType.Manual)


def devices(mesh: Any, names: Iterable[str]) -> int:
    """Return the number of devices along some axes together."""
    return math.prod(mesh.shape[name] for name in names)


def device_kind(arrays: Sequence[Array]) -> str | None:
    """Return the kind of the devices that are compiled for; None if not known."""
    mesh = mesh_of(arrays)
    device = None if mesh is None else mesh.abstract_device
    return None if device is None else device.device_kind
