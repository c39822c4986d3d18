"""The gradients of a detector, compiled ahead of time for a TPU slice."""

import json

import pytest

from tests.compilers import need_compilers
from tests.subprocesses import run_python


@pytest.mark.aot
@pytest.mark.xdist_group("pods")
def test_chips_exchange_gradients_and_scalars_alone():
    need_compilers("v5e")
    output = run_python(
        "-m",
        "tests.tasks.detection.pod_step",
        environment={
            "JAX_PLATFORMS": "cpu",
            "TPU_SKIP_MDS_QUERY": "1",
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            # The default options, instead of those of tests that make compiling fast.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "false",
        },
        limit=900,
    )
    found = json.loads(output.splitlines()[-1])
    assert found["others"] == []
    # Before the losses the counts of samples, after them the gradients.
    assert 1 <= found["all_reduces"] <= 3
