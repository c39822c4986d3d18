"""GPUs that each process of a node takes under Slurm and Open MPI.

There, `jax.distributed.initialize` gives each process one device, by its local rank: a
single process on a node would leave the other devices idle.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping

from carafe_jax.errors import RefusedError

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
# Each variable further restricts the devices that the one before it leaves.
_VISIBLE = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_ENDS_THE_LIST = ("", "-1", "NoDevFiles")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """The processes of the run on this node, and the GPUs visible to this one."""

    processes: int
    """Processes of the run on this node."""
    rank: int
    """Local rank of this process."""
    visible: int
    """GPUs visible to this process; 0 on a machine without GPUs."""
    restricted: bool = False
    """Whether an environment variable restricts the visible GPUs."""
    allocated: int | None = None
    """GPUs of the job on this node; None if not known."""
    per_process: int | None = None
    """GPUs that the launcher binds to each process; None if not known."""


def choose_devices(node: Node) -> tuple[int, ...]:
    """Return the ids of the GPUs that a process takes; empty means all visible GPUs.

    A single process on a node takes all. Several split the GPUs evenly, in the order of
    their ranks, unless only its own are visible to each, as with
    `srun --gpus-per-task`.

    Raises:
      RefusedError: The GPUs cannot be split evenly over the processes.
    """
    processes, visible = node.processes, node.visible
    if processes == 1 or visible == 0:
        return ()
    total = visible if node.allocated is None else node.allocated
    own = (
        visible == node.per_process
        or visible < total
        or (visible == 1 and node.restricted and node.allocated is None)
    )
    if own and (node.allocated is None or node.allocated >= processes):
        return ()
    if own or visible % processes:
        raise RefusedError(
            "The GPUs of a node must be a multiple of its processes, got "
            f"{total if own else visible} GPUs and {processes} processes. One process "
            "per node takes all of them (srun --ntasks-per-node=1, mpirun -npernode "
            "1); otherwise set JAX_LOCAL_DEVICE_IDS for each process."
        )
    count = visible // processes
    return tuple(range(node.rank * count, (node.rank + 1) * count))


def read_node(
    environment: Mapping[str, str], *, root: pathlib.Path = pathlib.Path("/")
) -> Node | None:
    """Return the node that Slurm's or Open MPI's variables describe; None without them.

    Args:
      environment: Environment variables, such as `os.environ`.
      root: Root folder of the drivers' files that list the GPUs.

    Raises:
      RefusedError: The variables do not give the number of processes on the node.
    """
    # In the order in which JAX checks them: mpirun may run within Slurm.
    if "OMPI_COMM_WORLD_LOCAL_SIZE" in environment:
        processes = _integer(environment, "OMPI_COMM_WORLD_LOCAL_SIZE")
        rank = _integer(environment, "OMPI_COMM_WORLD_LOCAL_RANK")
    elif all(name in environment for name in _SLURM):
        processes = _tasks_of_slurm(environment)
        rank = _integer(environment, "SLURM_LOCALID")
    else:
        return None
    if not 0 <= rank < processes:
        raise RefusedError(
            "The rank of a process on its node must be less than the number of "
            f"processes there, {processes}, got {rank}. "
            "Set JAX_LOCAL_DEVICE_IDS to the GPUs of "
            "this process."
        )
    visible, restricted = _visible(environment, root)
    slurm = "OMPI_COMM_WORLD_LOCAL_SIZE" not in environment
    return Node(
        processes=processes,
        rank=rank,
        visible=visible,
        restricted=restricted,
        allocated=_allocated(environment) if slurm else None,
        per_process=_per_task(environment) if slurm else None,
    )


def _allocated(environment: Mapping[str, str]) -> int | None:
    """Return the number of GPUs of Slurm's step on this node; None if not known."""
    if environment.get("SLURM_STEP_GPUS"):
        return _listed(environment["SLURM_STEP_GPUS"])
    text = environment.get("SLURM_GPUS_ON_NODE", "")
    return int(text) if _is_integer(text) else None


def _per_task(environment: Mapping[str, str]) -> int | None:
    """Return the number of GPUs that Slurm binds to each task; None if not known."""
    # "2", "a100:2"; "cpu=4,gres/gpu=2", "gres/gpu:a100:2".
    gpus = re.search(r"([0-9]{1,9})$", environment.get("SLURM_GPUS_PER_TASK", ""))
    tres = environment.get("SLURM_TRES_PER_TASK", "")
    found = gpus or re.search(r"gres/gpu[^,]*?[:=]([0-9]{1,9})(?:,|$)", tres)
    return int(found[1]) if found else None


def _tasks_of_slurm(environment: Mapping[str, str]) -> int:
    """Return the number of tasks on this node, from a list such as "2(x3),1"."""
    name = "SLURM_STEP_TASKS_PER_NODE"
    if name not in environment:
        return _integer(environment, "SLURM_NTASKS_PER_NODE")
    node = _integer({"SLURM_NODEID": "0", **environment}, "SLURM_NODEID")
    listed = 0
    for part in environment[name].split(","):
        match = re.fullmatch(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?", part.strip())
        if match is None:
            break
        listed += int(match[2] or 1)
        if node < listed:
            return int(match[1])
    raise RefusedError(
        f"{name} must list the tasks of each node, as '2(x3),1' does, got "
        f"{environment[name]!r} on node {node}."
    )


def _integer(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not _is_integer(text.strip()):
        raise RefusedError(f"{name} must be a non-negative integer, got {text!r}.")
    return int(text)


def _is_integer(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _visible(environment: Mapping[str, str], root: pathlib.Path) -> tuple[int, bool]:
    """Return the number of visible GPUs, and whether a variable restricts them."""
    platforms = environment.get("JAX_PLATFORMS", "").lower()
    if platforms and not re.search("cuda|rocm|gpu", platforms):
        return 0, False
    counts = [_listed(environment[name]) for name in _VISIBLE if name in environment]
    if counts:
        return min(counts), True
    nvidia = root / "proc/driver/nvidia/gpus"
    if nvidia.is_dir():
        return len(list(nvidia.iterdir())), False
    # AMD's driver lists CPUs too, with the id 0.
    ids = root.glob("sys/class/kfd/kfd/topology/nodes/*/gpu_id")
    return sum(path.read_text().strip() not in ("", "0") for path in ids), False


def _listed(devices: str) -> int:
    """Return the number of devices in a list, up to the first invalid one."""
    count = 0
    for device in devices.split(","):
        if device.strip() in _ENDS_THE_LIST:
            break
        count += 1
    return count
