"""Standard streams that print any name, and may be closed or broken pipes."""

import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console


def escape_unencodable() -> None:
    """Make standard output and error escape characters that their encoding lacks.

    Otherwise a command would fail where it prints a name with characters that the
    locale lacks, or with bytes that are not UTF-8. A stream that was closed before the
    command started is replaced by one that discards its text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def exit_on_broken_pipe() -> Iterator[None]:
    """Exit silently, with the status of SIGPIPE, if the output is a broken pipe.

    The reader of `carafe-jax --help | head -1` exits after one line. A broken pipe
    other than the standard streams is an error like any other.
    """
    try:
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except BrokenPipeError:
        broken = [x for x in (sys.stdout, sys.stderr) if _is_broken_pipe(x)]
        if not broken:
            raise
        for stream in broken:  # Otherwise Python would flush the rest at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(128 + signal.SIGPIPE)


class PipedConsole(Console):
    """A console that raises on a broken pipe, where rich would exit with status 1."""

    def on_broken_pipe(self) -> None:
        """Re-raise the error that is being handled."""
        raise


def _is_broken_pipe(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # POLLERR is always reported.
    except (ValueError, OSError):  # Not a file.
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
