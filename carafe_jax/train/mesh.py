"""The mesh of devices, and the shardings of states and batches over it."""

import collections
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.machine import describe_machine
from carafe_jax.texts import counted

BATCH_AXIS = "batch"
_NAMES = {"gpu": "GPU", "tpu": "TPU", "cpu": "CPU device"}


def describe_devices() -> str:
    """Return the numbers of processes and devices, and the kind of the devices.

    For instance "4 processes x 8 GPUs (NVIDIA H100 80GB HBM3) = 32 devices"; a single
    device is "1 process with 1 GPU (NVIDIA H100 80GB HBM3)".

    Raises:
      RefusedError: A process has more devices than another.
    """
    devices = jax.devices()
    counts = collections.Counter(x.process_index for x in devices)
    processes, each = jax.process_count(), counts[0]
    if any(counts[index] != each for index in range(processes)):
        listed = ", ".join(str(counts[index]) for index in range(processes))
        raise RefusedError(
            "Each process of a run must have as many devices as the others, got "
            f"{listed} devices of processes 0 to {processes - 1}."
        )
    platform: str = devices[0].platform
    name = _NAMES.get(platform, platform)
    own = f"{counted(each, name)} ({describe_machine().device})"
    if len(devices) == 1:
        return f"1 process with {own}"
    shown = counted(processes, "process", "processes")
    return f"{shown} x {own} = {len(devices)} devices"


def make_mesh() -> Mesh:
    """Return a mesh of every device of every process, on one axis.

    The axis is of type Auto: under Explicit axes, the default of `jax.make_mesh`,
    reshapes in ordinary linen code raise.
    """
    return jax.make_mesh((jax.device_count(),), (BATCH_AXIS,), (AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the replicated sharding: every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def state_shardings(state: Any, *, mesh: Mesh, fully_sharded: bool) -> Any:
    """Return the shardings of a state.

    Args:
      state: Tree of arrays, or of their shapes.
      mesh: From `make_mesh`.
      fully_sharded: Shard every array along its last axis that is a multiple of the
        devices; an array without such an axis is replicated. Else replicate all.
    """
    devices = mesh.size

    def sharding_of(x: Any) -> NamedSharding:
        if fully_sharded:
            for axis in reversed(range(x.ndim)):
                if x.shape[axis] and x.shape[axis] % devices == 0:
                    return NamedSharding(
                        mesh, PartitionSpec(*[None] * axis, BATCH_AXIS)
                    )
        return replicated(mesh)

    return jax.tree.map(sharding_of, state)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the sharding of batches: each device holds some of the examples."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


@no_type_check
def put_batch(batch: Any, *, mesh: Mesh) -> Any:
    """Put this process's shard of a batch on its devices.

    Args:
      batch: Tree of NumPy arrays of equal leading axes.
      mesh: From `make_mesh`.

    Raises:
      RefusedError: The examples cannot be split evenly over the devices.
    """
    sharding = batch_sharding(mesh)
    devices = len(mesh.local_devices)

    def put(x: np.ndarray) -> jax.Array:
        if x.shape[0] % devices:
            raise RefusedError(
                f"The batch must be a multiple of the {devices} devices of a process, "
                f"got {x.shape[0]} examples for each process."
            )
        return jax.make_array_from_process_local_data(sharding, x)

    return jax.tree.map(put, dict(batch))


def put_replicated(tree: Any, *, mesh: Mesh) -> Any:
    """Replicate arrays, which every process has whole, on all devices of the mesh.

    Arrays that are already on these devices keep their sharding.
    """

    def put(x: Any) -> jax.Array:
        if isinstance(x, jax.Array) and x.sharding.device_set == set(mesh.devices.flat):
            return x
        return put_value(x, replicated(mesh))

    return jax.tree.map(put, tree)


def put_value(value: Any, sharding: Sharding) -> jax.Array:
    """Put an array, which every process has whole, on the devices of a sharding."""
    whole = np.asarray(value)
    return jax.make_array_from_callback(
        whole.shape, sharding, lambda index: whole[index]
    )
