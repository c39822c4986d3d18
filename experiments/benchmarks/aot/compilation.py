"""Compilation of jobs, in a separate process for each chip.

The compilers read their flags once, when JAX starts, and a compiler that crashes ends
its process.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from experiments.benchmarks.aot.chips import CHIPS, Chip
from experiments.benchmarks.aot.jobs import Job
from experiments.benchmarks.aot.result import Result, parse_result

_ROOT = Path(__file__).parents[3]


def compile_jobs(
    jobs: Iterable[Job],
    *,
    limit: float = 300.0,
    folder: Path | None = None,
    keep_dumps: bool = False,
) -> Iterator[Result]:
    """Compile the jobs and yield their results, in their order.

    Args:
      jobs: Compilations, grouped by chip.
      limit: Timeout of each compilation, in seconds.
      folder: Folder for logs and dumps; by default a temporary one.
      keep_dumps: Keep the compilers' dumps.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for chip, own in itertools.groupby(jobs, key=lambda job: CHIPS[job.chip]):
            yield from _compile_for(
                chip, list(own), limit, folder, keep_dumps=keep_dumps
            )


def _compile_for(
    chip: Chip,
    jobs: Sequence[Job],
    limit: float,
    folder: Path,
    *,
    keep_dumps: bool,
) -> Iterator[Result]:
    """Compile the jobs for a chip; after a crash, a new process takes the rest."""
    log = folder / f"{chip.name}.log"
    log.unlink(missing_ok=True)
    while jobs:
        done = 0
        with _start(chip, folder, log, keep_dumps=keep_dumps) as process:
            for result in _results(process, jobs, limit, log):
                yield result
                done += 1
        jobs = jobs[done:]


@contextlib.contextmanager
def _start(
    chip: Chip, folder: Path, log: Path, *, keep_dumps: bool
) -> Iterator[subprocess.Popen[str]]:
    dumps = (folder / "dumps" / chip.name / "now").resolve()
    dumps.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "experiments.benchmarks.aot.worker", str(dumps)]
    with (
        # A dead process reads no more jobs, not even those still buffered.
        contextlib.suppress(BrokenPipeError),
        log.open("a") as errors,
        subprocess.Popen(
            command + ["--keep"] * keep_dumps,
            cwd=_ROOT,
            env=os.environ | chip.environment(dumps),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _results(
    process: subprocess.Popen[str], jobs: Sequence[Job], limit: float, log: Path
) -> Iterator[Result]:
    """Send the jobs one by one; a result that the process died is the last one."""
    assert process.stdin is not None
    assert process.stdout is not None
    for job in jobs:
        watch = threading.Timer(limit, process.kill)
        watch.start()
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(dataclasses.asdict(job)), file=process.stdin, flush=True)
        line = process.stdout.readline()
        late = not watch.is_alive()
        watch.cancel()
        if line:
            yield parse_result(line)
            continue
        reason = (
            f"it took more than {limit:g} s" if late else _exit_reason(process, log)
        )
        yield Result(job=job, status="failed", reason=reason)
        return


def _exit_reason(process: subprocess.Popen[str], log: Path) -> str:
    status = process.wait()
    how = f"status {status}" if status >= 0 else signal.Signals(-status).name
    lines = log.read_text(errors="replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    return f"the compiler's process ended with {how}{last}"
