"""Evaluation by several devices and processes: the same numbers as by one."""

import contextlib
import json
import socket

import pytest

from tests.subprocesses import finish_all, start_python
from tests.tasks.detection.evaluating_process import evaluated


@pytest.mark.slow
def test_two_processes_have_the_numbers_and_pictures_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    variables = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": "2",
    }
    program = ("-m", "tests.tasks.detection.evaluating_process", "distributed")
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                start_python(
                    *program,
                    environment={**variables, "JAX_PROCESS_ID": str(index)},
                )
            )
            for index in range(2)
        ]
        found = finish_all(processes, status=0)
    expected = evaluated()
    assert [json.loads(each.splitlines()[-1]) for each in found] == [
        json.loads(expected)
    ] * 2
    assert 0 < json.loads(expected)[0]["box_ap"] < 1
