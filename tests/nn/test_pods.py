"""The training step of a CARAFE++ block, compiled ahead of time for TPU pods."""

import functools
import json

import pytest

from tests.compilers import need_compilers
from tests.subprocesses import run_python

pytestmark = [pytest.mark.aot, pytest.mark.xdist_group("pods")]


@functools.cache
def compile_step(topology):
    need_compilers("v5e")
    output = run_python(
        "-m",
        "tests.nn.pod_step",
        topology,
        environment={
            "JAX_PLATFORMS": "cpu",
            "TPU_SKIP_MDS_QUERY": "1",
            "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
            # The default options, instead of those of tests that make compiling fast.
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "false",
        },
        limit=900,
    )
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize("topology", ["v5e:4x4", "v5e:16x16"])
def test_a_training_step_gathers_no_activation(topology):
    found = compile_step(topology)
    # Up and down, each forward and two gradients.
    assert found["kernels"] == 6
    assert found["gathers"] == []


@pytest.mark.parametrize("topology", ["v5e:4x4", "v5e:16x16"])
def test_only_parameters_statistics_and_scalars_are_reduced(topology):
    found = compile_step(topology)
    # Statistics have as many numbers as the scale of their batch norm.
    assert set(found["parameters"]) <= set(found["reduced"])
    assert set(found["reduced"]) <= {*found["parameters"], 1}
