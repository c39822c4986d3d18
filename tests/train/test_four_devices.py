"""Four devices: of one process, and of two."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.train.four_devices import CHECKS

LIMIT = 300  # Seconds; generous, for machines under load.


def start(program, workdir, *, devices, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.train.{program}", str(workdir)],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outputs_of(*processes):
    try:
        return [process.communicate(timeout=LIMIT)[0] for process in processes]
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"A process took more than {LIMIT} s: {error.output}")
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (text,) = outputs_of(start("four_devices", folder, devices=4))
    return text


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_one_process_with_four_devices(output, check):
    assert check.__name__ in output.splitlines(), output


def test_two_processes_with_two_devices_each_predict_and_train(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    first, second = outputs_of(
        *(
            start(
                "two_processes",
                tmp_path,
                devices=2,
                JAX_COORDINATOR_ADDRESS=address,
                JAX_NUM_PROCESSES="2",
                JAX_PROCESS_ID=str(index),
            )
            for index in range(2)
        )
    )
    assert "first passed" in first, first
    assert "second passed" in second, second
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["steps"] == 4
