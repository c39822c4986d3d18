"""Training on four devices, of one process and of two."""

import contextlib
import json
import socket

import pytest

from carafe_jax.train import hold_workdir
from tests.subprocesses import finish_all, run_python, start_python
from tests.train.four_devices import CHECKS

pytestmark = pytest.mark.slow


def environment(*, devices, **variables):
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        **variables,
    }


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return run_python(
        *("-m", "tests.train.four_devices", tmp_path_factory.mktemp("runs")),
        environment=environment(devices=4),
    )


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_one_process_with_four_devices(output, check):
    assert check.__name__ in output.splitlines(), output


def test_two_tasks_of_slurm_with_two_devices_each_predict_and_train(tmp_path):
    workdir, in_use = tmp_path / "run", tmp_path / "in_use"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    with contextlib.ExitStack() as stack:
        stack.enter_context(hold_workdir(in_use))
        processes = [
            stack.enter_context(
                start_python(
                    *("-m", "tests.train.two_processes", workdir, in_use),
                    environment=environment(
                        devices=2,
                        JAX_COORDINATOR_PORT=port,
                        SLURM_JOB_ID="1",
                        SLURM_STEP_NODELIST="127.0.0.1",
                        SLURM_STEP_TASKS_PER_NODE="2",
                        SLURM_NTASKS="2",
                        SLURM_PROCID=str(index),
                        SLURM_LOCALID=str(index),
                        SLURM_NODEID="0",
                    ),
                )
            )
            for index in range(2)
        ]
        first, second = finish_all(processes)
    assert "first passed" in first, first
    assert "second passed" in second, second
    # Only the first process logs this line.
    line = "Training on 2 processes x 2 CPU devices ("
    assert (line in first, line in second) == (True, False), first
    assert ") = 4 devices." in first
    provenance = json.loads((workdir / "provenance.json").read_text())
    assert provenance["steps"] == 4
