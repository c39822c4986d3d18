"""The command line of an experiment."""

import logging
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import tyro
from rich.console import Console
from rich.logging import RichHandler

from carafe_jax.train.loop import NotFiniteError

Config = TypeVar("Config")


def run(
    main: Callable[[Config, Console], int], config: Config, *, doc: str | None
) -> NoReturn:
    """Run an experiment with values from the command line; exit with what it returns.

    Every field of the configuration is an option; `--help` lists them with their
    values. What the user can mend is printed in a line, without a traceback.

    Args:
      main: Called with the configuration and a console; returns the exit status.
      config: The experiment's own values, a dataclass.
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
    parsed: Any = tyro.cli(type(config), default=config, description=doc)
    try:
        sys.exit(main(parsed, console))
    except (ValueError, ImportError, NotFiniteError) as error:
        console.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
        _LOGGER.debug("Where it came from:", exc_info=error)
        sys.exit(2)


_LOGGER = logging.getLogger(__name__)
