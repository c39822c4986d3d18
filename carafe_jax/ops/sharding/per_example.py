"""Functions of single examples, run by each device on its own examples."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array

from carafe_jax.ops.sharding.axes import Names, axes_in_force
from carafe_jax.ops.sharding.mesh import free_axes, mesh_of
from carafe_jax.ops.sharding.split import check_names, dividing


def run_per_device(
    function: Callable[..., Any], *operands: Any, shared: Sequence[Any] = ()
) -> Any:
    """Run `function(*operands, *shared)` on each device's examples.

    The compiler gives a loop over a sharded batch one condition for all devices, and
    gathers the operands of a sort on every device. In `jax.shard_map` each device loops
    over and sorts its own examples, without communication. Without a mesh, `function`
    is called directly.

    Args:
      function: Batched function that treats every example independently. Its results
        are trees of arrays with a leading axis of examples. It must not close over
        traced arrays.
      *operands: Trees of arrays with a leading axis of examples.
      shared: Trees of arrays that all examples use, which each device has whole. Their
        gradients are summed over devices.
    """
    arrays = jax.tree.leaves(operands)
    mesh = mesh_of(arrays)
    if mesh is None or not free_axes(mesh):
        return function(*operands, *shared)
    names = _batch_axes(arrays, mesh)
    spec, whole = PartitionSpec(names or None), PartitionSpec()
    explicit = tuple(name for name in names if name in mesh.explicit_axes)
    if mesh.explicit_axes:
        operands = _reshard(operands, mesh, PartitionSpec(explicit or None))
        shared = _reshard(tuple(shared), mesh, whole)
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(*[spec] * len(operands), *[whole] * len(shared)),
        out_specs=spec,
        axis_names=set(free_axes(mesh)),
        check_vma=False,
    )(*operands, *shared)


def _reshard(operands: Any, mesh: Any, spec: PartitionSpec) -> Any:
    wanted = NamedSharding(mesh, spec)

    def reshard(x: Array) -> Array:
        return jax.sharding.reshard(x, wanted)

    return jax.tree.map(reshard, operands)


def _batch_axes(arrays: list[Any], mesh: Any) -> Names:
    """Return the axes that split the examples: Explicit axes by the arrays' types."""
    axes = axes_in_force()
    check_names(axes, mesh)
    free = free_axes(mesh)
    leading = [[*jax.typeof(x).sharding.spec][:1] for x in arrays]
    names: list[str] = []
    for part in (part for parts in leading for part in parts if part is not None):
        names += [part] if isinstance(part, str) else part
    auto = [name for name in free if name in mesh.auto_axes]
    wanted = auto if axes.batch is None else axes.batch
    names += [
        name
        for name in wanted
        if name in auto and name not in (*axes.rows, *axes.channels)
    ]
    return dividing(names, arrays[0].shape[0], mesh)
