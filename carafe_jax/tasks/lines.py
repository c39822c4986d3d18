"""Lines on the console, with the names in them as they are."""

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
    """Show that a run is being loaded, while the block runs."""
    return console.status(Text(printable(f"loading {os.fspath(model)}")))
