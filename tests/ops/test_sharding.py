"""The operator with its batch split over four virtual devices."""

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
ONE_ANCHOR_ROW, ONE_BLOCK = 1, 2**40  # Bytes of a block.
RUNS = [f"2:{ONE_BLOCK}", f"2:{ONE_ANCHOR_ROW}", f"1/2:{ONE_ANCHOR_ROW}"]


@pytest.fixture(scope="module")
def runs():
    program = [sys.executable, "-W", "error", "-m", "tests.ops.four_devices"]
    done = subprocess.run(
        [*program, *RUNS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return dict(zip(RUNS, found, strict=True))


@pytest.mark.parametrize("run", RUNS)
def test_results_of_a_split_batch_stay_split(run, runs):
    assert runs[run]["devices"] == [4, 4, 4]
    assert runs[run]["split"] == [True, True, True]


@pytest.mark.parametrize("run", RUNS)
def test_a_split_batch_gives_the_numbers_of_one_device(run, runs):
    # Float32 sums of up to 36 products of about 1, perhaps in another order.
    assert runs[run]["error"] < 1e-5


@pytest.mark.parametrize("run", RUNS)
def test_a_split_batch_needs_no_communication(run, runs):
    assert runs[run]["collectives"] == []
