import os
import pathlib
import signal
import sys
import time

import pytest

from tests.data.batches_by_workers import SIGNALS
from tests.subprocesses import run_python, start_python

PROGRAM = ("-m", "tests.data.batches_by_workers")


def workers(output: str) -> list[int]:
    line = next(line for line in output.splitlines() if line.startswith("workers"))
    return [int(word) for word in line.split()[1:]]


def is_alive(process: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # Not yet reaped.


@pytest.mark.slow
def test_workers_survive_signals_to_the_job_and_end_with_the_iterator():
    output = run_python(*PROGRAM, "signals")
    assert len(workers(output)) == 2
    assert f"noted {sorted(map(int, SIGNALS))}" in output
    assert "left 0" in output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_with_a_parent_that_was_killed():
    with start_python(*PROGRAM, "wait") as running:
        running.wait_for(lambda: "workers" in running.stdout, "workers were named")
        pids = workers(running.stdout)
        assert all(map(is_alive, pids))
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        end = time.monotonic() + 20
        while any(map(is_alive, pids)):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_program_that_keeps_its_iterator_ends_with_its_workers():
    assert not any(map(is_alive, workers(run_python(*PROGRAM, "end"))))
