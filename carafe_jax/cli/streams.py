"""Standard streams that print every name, and may lose their reader or be closed."""

import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console


def accept_every_name() -> None:
    """Make standard output and error escape characters that their encoding lacks.

    Otherwise a command would end where it prints a name with characters that the locale
    lacks, or with bytes that are not UTF-8. A stream that was closed before the command
    started is replaced by one that discards its text.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def end_with_the_reader() -> Iterator[None]:
    """End the process silently, with the status of SIGPIPE, if its reader has ended.

    The reader of `carafe-jax --help | head -1` ends after one line. A broken pipe to a
    process that is not the reader is an error like any other.
    """
    try:
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
    except BrokenPipeError:
        lost = [x for x in (sys.stdout, sys.stderr) if _has_lost_its_reader(x)]
        if not lost:
            raise
        for stream in lost:  # Or Python would write what is left when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(128 + signal.SIGPIPE)


class PipedConsole(Console):
    """A console that raises where its reader has ended; rich exits with status 1."""

    def on_broken_pipe(self) -> None:
        """Raise the error again that is being handled."""
        raise


def _has_lost_its_reader(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)  # An error is reported in any case.
    except (ValueError, OSError):  # No file.
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
