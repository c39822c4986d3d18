"""Standard streams that can print any name, whatever their encoding."""

import io
import sys


def accept_every_name() -> None:
    """Make standard output and error escape characters that their encoding lacks.

    Printing a file name with such characters would otherwise end the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
