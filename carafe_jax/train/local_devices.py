"""Devices that each process of a node takes, where Slurm or Open MPI starts several.

`jax.distributed.initialize` gives each process that these start one device, the one of
its rank on the node: a process started once a node would leave the others idle.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping

from carafe_jax.errors import RefusedError

_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_LOCALID")
# Each restricts what the one before it leaves.
_VISIBLE = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
_ENDS_THE_LIST = ("", "-1", "NoDevFiles")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """The processes of the run on this node, and the GPUs that this one sees."""

    processes: int
    """Processes of the run on this node."""
    rank: int
    """Rank of this one among them."""
    visible: int
    """GPUs that this process sees; 0 on a machine without."""
    restricted: bool = False
    """Whether an environment variable restricts what this process sees."""
    allocated: int | None = None
    """GPUs of the job on this node; None if not known."""
    per_process: int | None = None
    """GPUs that the launcher binds to each process; None if not known."""


def choose_devices(node: Node) -> tuple[int, ...]:
    """Return the ids of the GPUs that a process takes; no ids mean all that it sees.

    The only process of a node takes all. Several take equal shares, in the order of
    their ranks, unless each sees only its own, as with `srun --gpus-per-task`.

    Raises:
      RefusedError: The processes cannot share the GPUs evenly.
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
            "a node takes all of them (srun --ntasks-per-node=1, mpirun -npernode 1); "
            "else set JAX_LOCAL_DEVICE_IDS for each."
        )
    share = visible // processes
    return tuple(range(node.rank * share, (node.rank + 1) * share))


def read_node(
    environment: Mapping[str, str], *, root: pathlib.Path = pathlib.Path("/")
) -> Node | None:
    """Return the node that Slurm's or Open MPI's variables describe; None elsewhere.

    Args:
      environment: Such as `os.environ`.
      root: Where the files of the drivers are, which list the GPUs.

    Raises:
      RefusedError: The variables do not give the number of processes on the node.
    """
    # In the order in which JAX looks for them: mpirun may run inside of Slurm.
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
            "The rank of a process on its node must lie below the processes there, "
            f"got rank {rank} of {processes}. Set JAX_LOCAL_DEVICE_IDS to the GPUs of "
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
    """Return the GPUs of Slurm's step on this node; None if not known."""
    if environment.get("SLURM_STEP_GPUS"):
        return _listed(environment["SLURM_STEP_GPUS"])
    text = environment.get("SLURM_GPUS_ON_NODE", "")
    return int(text) if _is_integer(text) else None


def _per_task(environment: Mapping[str, str]) -> int | None:
    """Return the GPUs that Slurm binds to each task; None where it binds none."""
    # "2", "a100:2"; "cpu=4,gres/gpu=2", "gres/gpu:a100:2".
    gpus = re.search(r"([0-9]{1,9})$", environment.get("SLURM_GPUS_PER_TASK", ""))
    tres = environment.get("SLURM_TRES_PER_TASK", "")
    found = gpus or re.search(r"gres/gpu[^,]*?[:=]([0-9]{1,9})(?:,|$)", tres)
    return int(found[1]) if found else None


def _tasks_of_slurm(environment: Mapping[str, str]) -> int:
    """Read the tasks of this node from such as "2(x3),1", or the same for each."""
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
        raise RefusedError(f"{name} must be an integer from 0 on, got {text!r}.")
    return int(text)


def _is_integer(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def _visible(environment: Mapping[str, str], root: pathlib.Path) -> tuple[int, bool]:
    """Return how many GPUs a process sees, and whether a variable restricts them."""
    platforms = environment.get("JAX_PLATFORMS", "").lower()
    if platforms and not re.search("cuda|rocm|gpu", platforms):
        return 0, False
    counts = [_listed(environment[name]) for name in _VISIBLE if name in environment]
    if counts:
        return min(counts), True
    nvidia = root / "proc/driver/nvidia/gpus"
    if nvidia.is_dir():
        return len(list(nvidia.iterdir())), False
    # Of AMD's driver, which lists CPUs too, with the id 0.
    ids = root.glob("sys/class/kfd/kfd/topology/nodes/*/gpu_id")
    return sum(path.read_text().strip() not in ("", "0") for path in ids), False


def _listed(devices: str) -> int:
    """Return how many devices a list names; those after an invalid one do not count."""
    count = 0
    for device in devices.split(","):
        if device.strip() in _ENDS_THE_LIST:
            break
        count += 1
    return count
