"""Lines on the console in which names are no markup."""

import contextlib
import os

from rich.console import Console
from rich.text import Text

from carafe_jax.texts import printable


def print_line(console: Console, line: str) -> None:
    """Print a line that is not wrapped; brackets in names are no markup."""
    console.print(Text(printable(line)), soft_wrap=True)


def loading(
    console: Console, model: str | os.PathLike[str]
) -> contextlib.AbstractContextManager[object]:
    """Return a context that shows on the console that a run is being loaded."""
    return console.status(Text(printable(f"loading {os.fspath(model)}")))
