"""The command `carafe-jax` and its subcommands, such as `carafe-jax train`.

This module imports no other package, so that the command starts at once, and can
report what is missing where the extra `train` is not installed.
"""

import importlib.util
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from carafe_jax.extras import TRAIN_MODULES

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command with the given arguments, `sys.argv[1:]` by default; then exit.

    Exit statuses: 0, success; 1, success except for the files that are listed; 2, an
    error that the user can fix; 128 + n, stopped by signal n.
    """
    missing = sorted(x for x in TRAIN_MODULES if importlib.util.find_spec(x) is None)
    if missing:
        print(  # noqa: T201  rich may be what is missing.
            f"carafe-jax needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'carafe-jax[train]'",
            file=sys.stderr,
        )
        sys.exit(2)
    from carafe_jax.cli import commands
    from carafe_jax.cli.streams import escape_unencodable, exit_on_broken_pipe

    escape_unencodable()
    with exit_on_broken_pipe():
        try:
            commands.run_command(sys.argv[1:] if args is None else list(args))
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)  # noqa: T201
            sys.exit(128 + signal.SIGINT)
