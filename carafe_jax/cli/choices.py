"""Choices on the command line: subcommands, and tasks to train."""

import contextlib
import sys
from collections.abc import Callable
from typing import NoReturn

import tyro

from carafe_jax.cli.help import keep_lines

PROGRAM = "carafe-jax"


def choose(
    summaries: dict[str, str], args: list[str], *, program: str, description: str
) -> NoReturn:
    """Print the help, or the error for a name that is not a choice; then exit.

    Without arguments the help is printed, with the exit status of an error.
    """
    if not args:
        with contextlib.suppress(SystemExit):
            choose(summaries, ["--help"], program=program, description=description)
        sys.exit(2)
    tyro.extras.subcommand_cli_from_dict(
        {name: _described(summary) for name, summary in summaries.items()},
        prog=program,
        description=keep_lines(description),
        args=args,
    )
    raise AssertionError(f"{program} {args} is neither a choice nor an error.")


def _described(summary: str) -> Callable[[], None]:
    def choice() -> None: ...

    choice.__doc__ = summary
    return choice
