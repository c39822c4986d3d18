"""Launches compiled ahead of time, for chips that are not attached.

These tests run with `-m aot` only. `CARAFE_AOT=full` compiles all named maps, with and
without the softmax in the launch, instead of one map.
"""

import functools
import os

import pytest

from experiments.benchmarks.aot.compilation import compile_jobs
from experiments.benchmarks.aot.config import Config
from experiments.benchmarks.aot.jobs import make_jobs
from tests.compilers import need_compilers

pytestmark = pytest.mark.aot

FULL = os.environ.get("CARAFE_AOT") == "full"
JOBS = tuple(make_jobs(Config(quick=not FULL).effective))


@functools.cache
def results_of(chip, backend):
    """Compile all jobs of a chip in one process, as starting one takes seconds."""
    jobs = [job for job in JOBS if (job.chip, job.backend) == (chip, backend)]
    return {result.job: result for result in compile_jobs(jobs)}


def in_group(job):
    """Return a job as a parameter, in the same xdist worker as others of its chip."""
    group = pytest.mark.xdist_group(f"{job.chip}-{job.backend}")
    return pytest.param(job, marks=group, id=str(job))


@pytest.mark.parametrize("job", [in_group(job) for job in JOBS])
def test_launch_compiles_and_follows_the_rules(job):
    need_compilers(job.chip)
    result = results_of(job.chip, job.backend)[job]
    if result.status == "refused":
        pytest.skip(result.reason)
    assert result.status == "compiled", result.reason
    assert not result.problems
