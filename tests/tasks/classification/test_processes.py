"""Runs on several devices and in several processes: the same numbers as on one."""

import contextlib
import socket

import chex
import numpy as np
import pytest
from PIL import Image

from carafe_jax.train import Checkpoints
from tests.subprocesses import finish_all, run_python, start_python

pytestmark = pytest.mark.slow

STEPS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Nine noisy training and five test images, not a multiple of the devices."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, counts in (("train", (5, 4)), ("val", (3, 2))):
        for name, count in zip(("cat", "dog"), counts, strict=True):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, size=(18, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def program(folder, workdir, downsampler, *options):
    module = "tests.tasks.classification.process"
    return "-m", module, str(folder), str(workdir), downsampler, *options


def environment(*, devices=4, **variables):
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        **variables,
    }


def one_process(folder, workdir, downsampler, *options):
    words = program(folder, workdir, downsampler, *options)
    run_python(*words, environment=environment())


def two_processes(folder, workdir, downsampler, *options, status=0):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                start_python(
                    *program(folder, workdir, downsampler, "distributed", *options),
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
        return finish_all(processes, status=status)


def variables_of(workdir):
    return Checkpoints(workdir, best="top1").restore_variables(step=STEPS)


# Programs of CARAFE++ take three times as long to compile.
@pytest.fixture(
    scope="module", params=["conv", pytest.param("carafe", marks=pytest.mark.weekly)]
)
def downsampler(request):
    return request.param


@pytest.fixture(scope="module")
def on_one(folder, downsampler, tmp_path_factory):
    """The folder of a run of one process with four devices."""
    workdir = tmp_path_factory.mktemp("one")
    one_process(folder, workdir, downsampler)
    return workdir


def assert_same_run(workdir, other):
    # The order of sums differs.
    chex.assert_trees_all_close(
        variables_of(workdir), variables_of(other), rtol=1e-3, atol=1e-4
    )
    for name in ("table.csv", "classes.json"):
        assert (workdir / name).exists()
    tables = [
        np.genfromtxt(folder / "table.csv", delimiter=",", skip_header=1)[1:]
        for folder in (workdir, other)
    ]
    np.testing.assert_allclose(*tables, rtol=1e-3, atol=1e-4)


def test_two_processes_stop_together_resume_and_match_one(
    folder, downsampler, on_one, tmp_path
):
    stopped = two_processes(folder, tmp_path, downsampler, "stopped", status=128 + 15)
    assert "after step 4 of 6" in stopped[0]
    assert "Stopped by" not in stopped[1]  # Only the first process reports.
    two_processes(folder, tmp_path, downsampler)
    assert_same_run(tmp_path, on_one)


@pytest.mark.weekly
def test_sharded_states_give_the_same_numbers(folder, downsampler, on_one, tmp_path):
    one_process(folder, tmp_path, downsampler, "fully_sharded")
    assert_same_run(tmp_path, on_one)


def test_unknown_processes_are_an_error_with_a_message(folder, tmp_path):
    with start_python(
        *program(folder, tmp_path, "conv", "distributed"), environment=environment()
    ) as process:
        assert "must be known by Slurm" in process.finish(status=1)
