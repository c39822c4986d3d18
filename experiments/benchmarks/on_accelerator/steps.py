"""Steps in separate processes: one that fails or hangs does not stop the others."""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_TAIL = 12  # Lines of a log that are shown.
_PYTEST = (
    "pytest",
    "-m",
    "accelerator",
    "-v",
    "-ra",
    "--tb=short",
    # The machine may lack what some modules of tests import.
    "--continue-on-collection-errors",
    "-p",
    "no:cacheprovider",
    "tests/pallas",
    "tests/ops",
)
# Most of a test is compilation. With xdist pytest-benchmark warns, which is an error.
_PARALLEL = ("-n", "8", "-p", "no:benchmark")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A command and its timeout in seconds."""

    name: str
    command: tuple[str, ...]
    seconds: float


def all_steps(output: Path, seconds: float) -> tuple[Step, ...]:
    """Return the steps, each with its fraction of the time."""

    def step(name: str, fraction: float, *arguments: str) -> Step:
        command = (sys.executable, "-m", *arguments)
        return Step(name=name, command=command, seconds=fraction * seconds)

    def own(name: str, fraction: float) -> Step:
        options = ("--output", str(output), "--seconds", str(fraction * seconds))
        package = "experiments.benchmarks.on_accelerator"
        return step(name, fraction, package, "--step", name, *options)

    parallel = _PARALLEL if importlib.util.find_spec("xdist") else ()
    return (
        step("tests", 0.2, *_PYTEST, *parallel),
        own("tune", 0.2),
        own("bfloat16", 0.25),
        own("float32", 0.2),
        own("torch", 0.15),
    )


def run_steps(
    steps: Sequence[Step], output: Path, report: Callable[[str], None]
) -> dict[str, str]:
    """Run each step, even after failures; return how each ended.

    Later steps receive the time that a step did not use.
    """
    ends: dict[str, str] = {}
    spare = 0.0
    for step in steps:
        log = output / f"{step.name}.log"
        start = time.monotonic()
        ends[step.name] = _run(step, step.seconds + spare, log)
        taken = time.monotonic() - start
        spare += step.seconds - taken
        report(f"{step.name}: {ends[step.name]}, {taken:.0f} s; {log}")
        lines = log.read_text(errors="replace").splitlines()
        report("\n".join(f"  {line}" for line in lines[-_TAIL:]))
    return ends


def _run(step: Step, seconds: float, log: Path) -> str:
    with log.open("w") as file:
        process = subprocess.Popen(
            step.command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that run in parallel share the memory of a device.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        try:
            status = process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            # This ends the compilers that it started, too.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {seconds:.0f} s"
    return "passed" if status == 0 else f"failed with status {status}"
