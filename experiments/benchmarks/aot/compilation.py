"""Jobs handed to a process of their own for each chip.

The compilers read their flags once, when JAX starts, and a compiler that crashes takes
its process along.
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

from experiments.benchmarks.aot.jobs import Job
from experiments.benchmarks.aot.result import Result, parse_result
from experiments.benchmarks.aot.targets import TARGETS, Target

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
      jobs: What to compile; those for one chip together.
      limit: Seconds that one may take.
      folder: Where logs (and dumps) go; by default nowhere.
      keep_dumps: Keep what the compilers dump.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for target, own in itertools.groupby(jobs, key=lambda job: TARGETS[job.target]):
            yield from _compile_for(
                target, list(own), limit, folder, keep_dumps=keep_dumps
            )


def _compile_for(
    target: Target,
    jobs: Sequence[Job],
    limit: float,
    folder: Path,
    *,
    keep_dumps: bool,
) -> Iterator[Result]:
    """Start another process after one that died, with the jobs that are left."""
    log = folder / f"{target.name}.log"
    log.unlink(missing_ok=True)
    while jobs:
        done = 0
        with _start(target, folder, log, keep_dumps=keep_dumps) as process:
            for result in _answers(process, jobs, limit, log):
                yield result
                done += 1
        jobs = jobs[done:]


@contextlib.contextmanager
def _start(
    target: Target, folder: Path, log: Path, *, keep_dumps: bool
) -> Iterator[subprocess.Popen[str]]:
    dumps = (folder / "dumps" / target.name / "now").resolve()
    dumps.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "experiments.benchmarks.aot.worker", str(dumps)]
    with (
        # A process that is dead takes no more jobs, not even what is still buffered.
        contextlib.suppress(BrokenPipeError),
        log.open("a") as errors,
        subprocess.Popen(
            command + ["--keep"] * keep_dumps,
            cwd=_ROOT,
            env=os.environ | target.environment(dumps),
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


def _answers(
    process: subprocess.Popen[str], jobs: Sequence[Job], limit: float, log: Path
) -> Iterator[Result]:
    """Ask one by one; the last answer may be that the process died."""
    assert process.stdin is not None
    assert process.stdout is not None
    for job in jobs:
        watch = threading.Timer(limit, process.kill)
        watch.start()
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(dataclasses.asdict(job)), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        late = not watch.is_alive()
        watch.cancel()
        if answer:
            yield parse_result(answer)
            continue
        reason = f"it took more than {limit:g} s" if late else _death(process, log)
        yield Result(job=job, status="failed", reason=reason)
        return


def _death(process: subprocess.Popen[str], log: Path) -> str:
    status = process.wait()
    how = f"status {status}" if status >= 0 else signal.Signals(-status).name
    said = log.read_text(errors="replace").strip().splitlines()
    last = f": {said[-1]}" if said else ""
    return f"the compiler's process ended with {how}{last}"
