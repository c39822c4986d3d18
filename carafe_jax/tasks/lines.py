"""Console output in which names are not read as markup."""

import contextlib
import os

from rich.console import Console
from rich.text import Text

from carafe_jax.texts import printable


def print_line(console: Console, line: str) -> None:
    """Print a line without wrapping it; brackets in names are not read as markup."""
    console.print(Text(printable(line)), soft_wrap=True)


def loading(
    console: Console, model: str | os.PathLike[str]
) -> contextlib.AbstractContextManager[object]:
    """Return a context that shows a spinner while a run is loaded."""
    return console.status(Text(printable(f"loading {os.fspath(model)}")))
