"""The GPUs that each process of a node uses."""

import re
from typing import Any

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.train.local_devices import Node, choose_devices, read_node

ALL = ()


def slurm(
    *, localid: int = 0, tasks: str = "1", nodeid: int = 0, **variables: str
) -> dict[str, str]:
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_STEP_NODELIST": "node[01-04]",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": str(localid),
        "SLURM_NODEID": str(nodeid),
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        **variables,
    }


def open_mpi(*, rank: int = 0, size: int = 1, **variables: str) -> dict[str, str]:
    return {
        "OMPI_COMM_WORLD_LOCAL_SIZE": str(size),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
        **variables,
    }


def visible(count: int) -> Any:
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(count)))}


def chosen(environment, root):
    node = read_node(environment, root=root)
    assert node is not None
    return choose_devices(node)


@pytest.mark.parametrize("launched", [slurm, open_mpi])
def test_only_process_of_a_node_uses_all_gpus(launched, tmp_path):
    assert chosen(launched(**visible(8)), tmp_path) == ALL
    assert chosen(launched(**visible(1)), tmp_path) == ALL
    assert chosen(launched(), tmp_path) == ALL


@pytest.mark.parametrize(
    ("processes", "rank", "expected"),
    [
        (8, 0, (0,)),
        (8, 7, (7,)),
        (4, 1, (2, 3)),
        (2, 0, (0, 1, 2, 3)),
        (2, 1, (4, 5, 6, 7)),
    ],
)
def test_processes_of_a_node_share_its_gpus_evenly(processes, rank, expected, tmp_path):
    gpus = visible(8)
    by_slurm = slurm(localid=rank, tasks=f"{processes}(x4)", nodeid=3, **gpus)
    by_mpi = open_mpi(rank=rank, size=processes, **gpus)
    assert chosen(by_slurm, tmp_path) == expected
    assert chosen(by_slurm | {"SLURM_GPUS_ON_NODE": "8"}, tmp_path) == expected
    assert chosen(by_mpi, tmp_path) == expected


@pytest.mark.parametrize(
    "bound",
    [
        # --gpus-per-task=1, --gpu-bind=single:1: each sees its own as number 0.
        {"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_ON_NODE": "4"},
        {"CUDA_VISIBLE_DEVICES": "3", "SLURM_GPUS_PER_TASK": "1"},
        {"CUDA_VISIBLE_DEVICES": "0", "SLURM_GPUS_PER_TASK": "a100:1"},
        {"ROCR_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "MIG-4f0c"},
        # --gpus-per-task=2
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_GPUS_ON_NODE": "8"},
        {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "SLURM_GPUS_PER_TASK": "4"},
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_TRES_PER_TASK": "cpu=8,gres/gpu=2"},
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_TRES_PER_TASK": "gres/gpu:a100:2"},
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_STEP_GPUS": "0,1,2,3,4,5,6,7"},
    ],
)
def test_process_uses_the_gpus_that_only_it_sees(bound, tmp_path):
    assert chosen(slurm(localid=3, tasks="4", **bound), tmp_path) == ALL


def test_script_that_gives_each_process_of_open_mpi_one_gpu_is_respected(tmp_path):
    environment = open_mpi(rank=3, size=4, CUDA_VISIBLE_DEVICES="3")
    assert chosen(environment, tmp_path) == ALL


def test_gpus_that_are_allocated_to_tasks_but_not_bound_are_shared(tmp_path):
    # --gpus-per-task=2 --gpu-bind=none: each task sees all.
    environment = slurm(
        localid=1,
        tasks="4",
        SLURM_GPUS_PER_TASK="2",
        SLURM_GPUS_ON_NODE="8",
        **visible(8),
    )
    assert chosen(environment, tmp_path) == (2, 3)


def test_step_on_some_gpus_of_the_job_shares_those(tmp_path):
    # srun --gpus-per-node=2 --ntasks-per-node=2 in a job with eight.
    environment = slurm(
        localid=1,
        tasks="2",
        SLURM_GPUS_ON_NODE="8",
        SLURM_STEP_GPUS="4,5",
        **visible(2),
    )
    assert chosen(environment, tmp_path) == (1,)


@pytest.mark.parametrize(
    "environment",
    [
        slurm(tasks="3", **visible(8)),
        slurm(tasks="16", **visible(8)),
        slurm(tasks="2", SLURM_GPUS_ON_NODE="1", **visible(1)),
        # --ntasks-per-gpu=2: two processes see the same one.
        slurm(tasks="4", SLURM_GPUS_ON_NODE="2", **visible(1)),
        open_mpi(size=5, **visible(8)),
    ],
)
def test_gpus_that_cannot_be_shared_evenly_are_refused(environment, tmp_path):
    error = r"must be a multiple of its processes, got \d GPUs and \d+ processes"
    with pytest.raises(RefusedError, match=error):
        chosen(environment, tmp_path)


@pytest.mark.parametrize(
    ("tasks", "nodeid", "expected"),
    [
        ("2(x3),1", 0, 2),
        ("2(x3),1", 2, 2),
        ("2(x3),1", 3, 1),
        ("8", 0, 8),
        ("4(x999999999)", 7, 4),
    ],
)
def test_tasks_of_slurm_are_those_of_the_node(tasks, nodeid, expected, tmp_path):
    node = read_node(slurm(tasks=tasks, nodeid=nodeid), root=tmp_path)
    assert node is not None
    assert node.processes == expected


def test_tasks_of_slurm_may_be_the_same_on_each_node(tmp_path):
    environment = slurm(localid=2, SLURM_NTASKS_PER_NODE="4", **visible(4))
    del environment["SLURM_STEP_TASKS_PER_NODE"]
    assert chosen(environment, tmp_path) == (2,)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "two"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_STEP_TASKS_PER_NODE": "²"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_STEP_TASKS_PER_NODE": "9" * 5000}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2),x,4"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_NODEID": "4"}, "SLURM_STEP_TASKS_PER_NODE"),
        ({"SLURM_NODEID": "9" * 5000}, "SLURM_NODEID"),
        ({"SLURM_LOCALID": "x"}, "SLURM_LOCALID"),
        ({"SLURM_LOCALID": "9"}, "rank of a process on its node"),
    ],
)
def test_invalid_variables_are_refused_by_name(changes, named, tmp_path):
    with pytest.raises(RefusedError, match=re.escape(named)):
        read_node(slurm(tasks="2(x4)", nodeid=2) | changes, root=tmp_path)


@pytest.mark.parametrize("name", ["SLURM_GPUS_ON_NODE", "SLURM_GPUS_PER_TASK"])
@pytest.mark.parametrize("text", ["", "²", "many", "9" * 5000, "-1"])
def test_invalid_number_of_gpus_counts_as_unknown(name, text, tmp_path):
    environment = slurm(localid=1, tasks="2", **visible(4), **{name: text})
    assert chosen(environment, tmp_path) == (2, 3)


def test_mpirun_within_slurm_counts_as_open_mpi(tmp_path):
    environment = slurm(**visible(4)) | open_mpi(rank=1, size=2)
    assert chosen(environment, tmp_path) == (2, 3)


def test_other_launchers_are_not_recognised():
    assert read_node({}) is None
    # A batch script of Slurm without srun.
    assert read_node({"SLURM_JOB_ID": "1", "SLURM_LOCALID": "0"}) is None


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        (visible(8), 8),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 0),
        ({"CUDA_VISIBLE_DEVICES": "0,2,-1,3"}, 2),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f,GPU-2a"}, 2),
        ({"ROCR_VISIBLE_DEVICES": "0,1,2,3", "HIP_VISIBLE_DEVICES": "0,1"}, 2),
        ({"JAX_PLATFORMS": "cpu", **visible(8)}, 0),
        ({"JAX_PLATFORMS": "tpu,cpu", **visible(8)}, 0),
        ({"JAX_PLATFORMS": "cuda,cpu", **visible(8)}, 8),
    ],
)
def test_gpus_that_a_process_sees_are_counted(variables, count, tmp_path):
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    node = read_node(slurm(**variables), root=tmp_path)
    assert node is not None
    assert node.visible == count


def test_gpus_are_counted_by_the_driver_where_no_variable_restricts_them(tmp_path):
    for number in range(4):
        (tmp_path / f"proc/driver/nvidia/gpus/0000:0{number}:00.0").mkdir(parents=True)
    assert chosen(open_mpi(rank=1, size=2), tmp_path) == (2, 3)


def test_gpus_of_amd_are_counted_by_the_driver(tmp_path):
    for number, name in enumerate(("0", "0", "51110", "9043")):
        node = tmp_path / f"sys/class/kfd/kfd/topology/nodes/{number}"
        node.mkdir(parents=True)
        (node / "gpu_id").write_text(f"{name}\n")
    assert chosen(open_mpi(rank=1, size=2), tmp_path) == (1,)


def test_one_gpu_that_two_processes_see_is_not_taken_for_their_own(tmp_path):
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    with pytest.raises(RefusedError, match="got 1 GPUs and 2 processes"):
        chosen(open_mpi(rank=1, size=2), tmp_path)


def test_machine_without_gpus_is_left_alone(tmp_path):
    assert chosen(slurm(localid=1, tasks="2"), tmp_path) == ALL
    node = Node(processes=3, rank=1, visible=0)
    assert choose_devices(node) == ALL
