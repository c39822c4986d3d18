"""A worker process that compiles jobs, one for each line of its input.

    python -m experiments.benchmarks.aot.worker DUMPS

It writes a line of JSON for each job. The compilers' dumps in DUMPS are read and
removed after each job (`--keep`: moved into a folder of the job's own).
"""

import argparse
import functools
import json
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import jax
import numpy as np
from carafe_pallas import support, tuning
from carafe_pallas.backend import module_of
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.benchmarks.aot import llo, ptx
from experiments.benchmarks.aot.chips import CHIPS, ChipName, find_tool
from experiments.benchmarks.aot.jobs import Job
from experiments.benchmarks.aot.result import Result


def main() -> None:
    """Compile jobs until the input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dumps", type=Path, help="folder of the dumps")
    parser.add_argument(
        "--keep", action="store_true", help="keep the dumps of each job"
    )
    arguments = parser.parse_args()
    dumps, keep = arguments.dumps, arguments.keep
    # Compilers print too: only results go to the pipe that the parent reads.
    results = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        job = Job(**json.loads(line))
        result = compile_job(job, dumps)
        _clear(dumps, str(job) if keep else None)
        print(result.to_json(), file=results, flush=True)


def compile_job(job: Job, dumps: Path) -> Result:
    """Compile a job; refusals and failures are returned, not raised."""
    device = _device(job.chip)
    reason = support.refusal(job.backend, job.call, device_kind=device.device_kind)
    if reason is not None:
        return Result(job=job, status="refused", reason=reason)
    start = time.perf_counter()
    try:
        return _compile(job, dumps, device, start)
    except Exception as error:  # Compilers raise any kind of error.
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        return Result(job=job, status="failed", reason=reason, seconds=seconds)


def _compile(job: Job, dumps: Path, device: Any, start: float) -> Result:
    module = module_of(job.backend)
    config = tuning.config_for(
        module, job.call, job.launch, device_kind=device.device_kind
    )
    launch = functools.partial(
        getattr(module, job.launch),
        geometry=job.call.geometry,
        normalizer=job.call.normalizer,
        dtype=job.call.features_dtype,
        config=config,
    )
    if job.launch == "grad_kernels" and job.normalizer == "none":
        launch = functools.partial(launch, logits=None)
    mesh = Mesh(np.array([device]), ("data",))
    sharding = NamedSharding(mesh, PartitionSpec())
    arguments = {
        name: jax.ShapeDtypeStruct(shape, job.dtype, sharding=sharding)
        for name, shape in job.arguments.items()
    }
    # The lowering of a launch reads the chip from the mesh.
    with jax.set_mesh(mesh):
        compiled = jax.jit(launch).lower(**arguments).compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    return Result(
        job=job,
        status="compiled",
        config=str(config),
        seconds=seconds,
        temporaries=memory.temp_size_in_bytes if memory else 0,
        code=_read(job, dumps, compiled),
    )


def _read(job: Job, dumps: Path, compiled: Any) -> llo.TpuCode | ptx.GpuCode:
    kernel = f"carafe_{job.launch}"
    if CHIPS[job.chip].platform == "tpu":
        return llo.read_dumps(dumps, kernel=kernel, hlo=compiled.as_text())
    ptxas = find_tool("ptxas")
    assert ptxas is not None, "the parent has checked for it"
    return ptx.read_dumps(dumps, kernel=kernel, ptxas=ptxas)


@functools.cache
def _device(chip: ChipName) -> Any:
    return np.array(CHIPS[chip].devices()).ravel()[0]


def _clear(dumps: Path, keep_as: str | None) -> None:
    kept = None if keep_as is None else dumps.parent / keep_as
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.move(dumps, kept)
    else:
        shutil.rmtree(dumps, ignore_errors=True)
    dumps.mkdir()


if __name__ == "__main__":
    main()
