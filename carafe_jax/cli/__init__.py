"""The command `carafe-jax`: train, evaluate, fill, classify, export.

This module imports nothing beyond the standard library, so that the command starts at
once, and can explain what is missing where the extra `train` is not installed.
"""

import importlib.util
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]

_NEEDED = ("grain", "optax", "orbax", "PIL", "rich", "skimage", "tyro")


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command with the given arguments, `sys.argv[1:]` by default; then exit.

    Exit statuses: 0, all done; 1, done except for files that are named; 2, refused;
    128 + n, stopped by signal n.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        print(  # noqa: T201  rich may be what is missing.
            f"carafe-jax needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'carafe-jax[train]'",
            file=sys.stderr,
        )
        sys.exit(2)
    from carafe_jax.cli import commands

    commands.run_command(sys.argv[1:] if args is None else list(args))
