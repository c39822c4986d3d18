"""Standard streams that take every name, whatever their encoding."""

import io
import sys


def accept_every_name() -> None:
    """Let the streams write escapes for characters that their encoding lacks.

    A name with other characters than those of the locale, or with bytes that are no
    UTF-8, would end a command where it is printed.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
