"""A run whose batches are made by other processes, stopped as schedulers do."""

import os
import signal

import pytest

from tests.subprocesses import start_python

TINY = (
    *("--network.stage-features", "4", "8", "--data.crop-size", "16"),
    *("--data.batch-size", "2", "--data.test-crops", "1", "--loop.log-every", "1"),
)


@pytest.mark.slow
def test_signal_to_all_processes_of_a_run_saves_a_checkpoint(tmp_path):
    scalars = tmp_path / "run" / "scalars.csv"
    with start_python(
        *("-m", "carafe_jax", "train", "inpainting", "--workdir", tmp_path / "run"),
        *("--loop.steps", "100000", "--data.worker-processes", "1", *TINY),
    ) as command:
        command.wait_for(
            lambda: scalars.exists() and scalars.read_text().count("\n") > 4, "trained"
        )
        os.killpg(command.process.pid, signal.SIGTERM)
        text = command.finish(status=128 + signal.SIGTERM)
    assert "Traceback" not in text
    assert any(p.name.isdigit() for p in (tmp_path / "run" / "checkpoints").iterdir())
