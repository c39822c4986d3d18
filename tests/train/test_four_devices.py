import os
import subprocess
import sys

import pytest

from tests.train.four_devices import CHECKS


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.train.four_devices",
            str(tmp_path_factory.mktemp("runs")),
        ],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return finished.stdout


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_four_devices(output, check):
    assert check.__name__ in output.splitlines(), output
