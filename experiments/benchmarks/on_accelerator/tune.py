"""The search for block sizes at the large shapes."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
from carafe_pallas import support
from carafe_pallas.backend import Backend
from carafe_pallas.call import Call

from experiments.benchmarks.tune import run
from experiments.benchmarks.tune.config import Config
from experiments.benchmarks.tune.jobs import Job, jobs_of


def tune(output: Path, seconds: float, report: Callable[[str], None]) -> None:
    """Tune the default backends in bfloat16; copy the file of results to `output`."""
    config = Config(dtypes=("bfloat16",), workers=16, repetitions=3)
    jobs = _by_default(jobs_of(config))
    # Importing JAX, drawing arrays and compiling plain JAX take time too.
    config = dataclasses.replace(config, seconds=0.6 * seconds / max(1, len(jobs)))

    def on_result(result: run.Result) -> None:
        report(str(result))
        if result.file is not None:
            shutil.copy(result.file, output)

    run.tune(jobs, config, on_job=lambda job: None, on_result=on_result)


def _by_default(jobs: list[Job]) -> list[Job]:
    """Return the jobs whose backend runs their call by default."""
    device = jax.devices()[0]
    platform = "cuda" if device.platform == "gpu" else device.platform

    def runs(backend: Backend, call: Call) -> bool:
        kind = device.device_kind
        return support.refusal(backend, call, device_kind=kind) is None

    def best(call: Call) -> str | None:
        ordered = support.best_first(platform, call)
        return next((backend for backend in ordered if runs(backend, call)), None)

    return [job for job in jobs if job.backend == best(job.call)]
