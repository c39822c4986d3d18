"""Subprocesses of tests, with a timeout and error messages that show their output."""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LIMIT = 600.0
"""Seconds that a process may take: many times what it needs on a quiet machine."""
_TAIL = 40  # Lines of output in a message.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """A running process, and the files with its output."""

    process: subprocess.Popen[bytes]
    folder: pathlib.Path

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for(
        self, condition: Callable[[], bool], what: str, *, limit: float = LIMIT
    ) -> None:
        """Return once a condition holds; fail at the timeout, or if the process ends.

        Args:
          condition: Function that is called several times a second.
          what: Description of the condition, for the error message.
          limit: Timeout in seconds.
        """
        end = time.monotonic() + limit
        while not condition():
            if self.process.poll() is not None:
                pytest.fail(f"ended before {what}: {self.describe()}")
            if time.monotonic() > end:
                self.kill()
                pytest.fail(f"not {what} after {limit:g} s: {self.describe()}")
            time.sleep(0.05)

    def finish(self, *, status: int = 0, limit: float = LIMIT) -> str:
        """Wait for the end; fail at another exit status, or at the timeout.

        Returns:
          The standard output, then the standard error.
        """
        try:
            found = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"not ended after {limit:g} s: {self.describe()}")
        if found != status:
            pytest.fail(f"ended with {found}, not {status}: {self.describe()}")
        return self.stdout + self.stderr

    def kill(self) -> None:
        """Kill the process and those that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def describe(self) -> str:
        arguments = self.process.args
        assert isinstance(arguments, list)
        texts = {"stdout": self.stdout, "stderr": self.stderr}
        tails = (
            "\n".join([f"{name}, last lines:", *text.splitlines()[-_TAIL:]])
            for name, text in texts.items()
        )
        return "\n".join([" ".join(map(str, arguments)), *tails])


@contextlib.contextmanager
def start_python(
    *arguments: str | os.PathLike[str],
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    cwd: pathlib.Path = ROOT,
) -> Iterator[Running]:
    """Start this Python with arguments; kill it at the end of the block.

    Args:
      *arguments: Arguments, such as `"-m", "tests.ops.sharding.meshes"`.
      stdin: Standard input.
      environment: Variables in addition to those of this process.
      cwd: Working directory; by default the repository, to import from it.
    """
    command = [sys.executable, *map(str, arguments)]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "stdin").write_text(stdin)
        with (
            (folder / "stdin").open("rb") as source,
            (folder / "stdout").open("wb") as out,
            (folder / "stderr").open("wb") as err,
        ):
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        running = Running(process=process, folder=folder)
        try:
            yield running
        finally:
            running.kill()


def run_python(
    *arguments: str | os.PathLike[str],
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    cwd: pathlib.Path = ROOT,
    status: int = 0,
    limit: float = LIMIT,
) -> str:
    """Run this Python until it exits; return its standard output."""
    with start_python(
        *arguments, stdin=stdin, environment=environment, cwd=cwd
    ) as running:
        running.finish(status=status, limit=limit)
        return running.stdout


def finish_all(
    processes: Sequence[Running], *, status: int = 0, limit: float = LIMIT
) -> list[str]:
    """Wait for processes that depend on each other; return the output of each."""
    try:
        return [process.finish(status=status, limit=limit) for process in processes]
    except pytest.fail.Exception as failure:
        # The first process to fail is not always the one with the bug.
        outputs = (process.describe() for process in processes)
        others = [output for output in outputs if output not in str(failure)]
        pytest.fail("\n\n".join([str(failure), *others]))
