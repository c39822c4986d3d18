"""Steps, each a process of its own: one that fails or hangs stops no other."""

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
# Most of a test is compiling. Beside it, pytest-benchmark warns, which is an error.
_TOGETHER = ("-n", "8", "-p", "no:benchmark")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A command, and the seconds that it may take."""

    name: str
    command: tuple[str, ...]
    seconds: float


def all_steps(output: Path, seconds: float) -> tuple[Step, ...]:
    """List the steps, each with its share of the time."""

    def step(name: str, share: float, *arguments: str) -> Step:
        command = (sys.executable, "-m", *arguments)
        return Step(name=name, command=command, seconds=share * seconds)

    def own(name: str, share: float) -> Step:
        options = ("--output", str(output), "--seconds", str(share * seconds))
        package = "experiments.benchmarks.on_accelerator"
        return step(name, share, package, "--step", name, *options)

    together = _TOGETHER if importlib.util.find_spec("xdist") else ()
    return (
        step("tests", 0.2, *_PYTEST, *together),
        own("tune", 0.2),
        own("bfloat16", 0.25),
        own("float32", 0.2),
        own("torch", 0.15),
    )


def run_steps(
    steps: Sequence[Step], output: Path, say: Callable[[str], None]
) -> dict[str, str]:
    """Run each step, whatever became of those before; return how each ended.

    Time that a step leaves over goes to the later ones.
    """
    ends: dict[str, str] = {}
    spare = 0.0
    for step in steps:
        log = output / f"{step.name}.log"
        start = time.monotonic()
        ends[step.name] = _run(step, step.seconds + spare, log)
        taken = time.monotonic() - start
        spare += step.seconds - taken
        say(f"{step.name}: {ends[step.name]}, {taken:.0f} s; {log}")
        lines = log.read_text(errors="replace").splitlines()
        say("\n".join(f"  {line}" for line in lines[-_TAIL:]))
    return ends


def _run(step: Step, seconds: float, log: Path) -> str:
    with log.open("w") as file:
        process = subprocess.Popen(
            step.command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Tests that run together share the memory of a device.
            env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )
        try:
            status = process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            # The compilers that it started go with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {seconds:.0f} s"
    return "passed" if status == 0 else f"failed with status {status}"
