"""Choices on the command line: subcommands, and tasks to train."""

from collections.abc import Callable
from typing import NoReturn

import tyro

from carafe_jax.cli.help import keep_lines

PROGRAM = "carafe-jax"


def choose(
    summaries: dict[str, str], args: list[str], *, program: str, description: str
) -> NoReturn:
    """Print the help, or the error for a name that is not a choice; then exit."""
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
