"""The command line of an experiment."""

import logging
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from carafe_jax.data import TooManyBrokenImagesError
from carafe_jax.train.log import NotFiniteError

Config = TypeVar("Config")


def run(
    main: Callable[[Config, Console], int],
    config: Config | type[Config],
    *,
    doc: str | None,
) -> NoReturn:
    """Run an experiment with values from the command line; exit with what it returns.

    Every field of the configuration is an option; `--help` lists them with their
    values. What the user can mend is printed in a line, without a traceback.

    Args:
      main: Called with the configuration and a console; returns the exit status.
      config: The experiment's own values, a dataclass; or the class, where some
        values have to be given.
      doc: Text above the options in `--help`.
    """
    console = Console()
    logging.basicConfig(
        level=logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=console, show_path=False, show_time=False)],
    )
    logging.getLogger("carafe_jax").setLevel(logging.INFO)
    # Orbax tells each save and each deletion through absl.
    logging.getLogger("absl").setLevel(logging.ERROR)
    parsed: Any
    if isinstance(config, type):
        parsed = tyro.cli(config, description=doc)
    else:
        parsed = tyro.cli(type(config), default=config, description=doc)
    try:
        sys.exit(main(parsed, console))
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from what is saved.")
        sys.exit(128 + signal.SIGINT)
    except (
        ValueError,
        ImportError,
        OSError,
        NotFiniteError,
        TooManyBrokenImagesError,
    ) as error:
        if not _is_refusal(error):
            raise
        console.print(
            Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True
        )
        sys.exit(2)


def _is_refusal(error: Exception) -> bool:
    """Tell what we refuse in words, or the system does, from a fault in the code."""
    if isinstance(error, OSError):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = frame.f_globals.get("__name__", "").split(".")[0]
    return package in ("carafe_jax", "experiments", "__main__")
