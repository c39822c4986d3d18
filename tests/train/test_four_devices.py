"""Four devices: of one process, and of two."""

import contextlib
import json
import socket

import pytest

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


def test_two_processes_with_two_devices_each_predict_and_train(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                start_python(
                    *("-m", "tests.train.two_processes", tmp_path),
                    environment=environment(
                        devices=2,
                        JAX_COORDINATOR_ADDRESS=address,
                        JAX_NUM_PROCESSES="2",
                        JAX_PROCESS_ID=str(index),
                    ),
                )
            )
            for index in range(2)
        ]
        first, second = finish_all(processes)
    assert "first passed" in first, first
    assert "second passed" in second, second
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["steps"] == 4
