"""Finds the verb of a command line, and imports no more than that verb needs."""

import importlib
import importlib.metadata
import sys
from typing import Any, NoReturn

from rich.console import Console

from carafe_jax.cli.choices import PROGRAM, choose

_VERBS = {
    "train": "Train a network, or resume a run: carafe-jax train TASK.",
    "evaluate": "Measure a trained network on test images.",
    "fill": "Fill holes in photographs.",
    "classify": "Name the likeliest classes of photographs.",
    "export": "Write a trained classifier as one file that needs only JAX to run.",
}

_DESCRIPTION = """CARAFE++, content-aware reassembly of features, in JAX.

A run is a folder with a configuration, checkpoints and records. `train` makes one; the
other verbs take it as --model. `carafe-jax VERB --help` lists the options of a verb.
"""


def run_command(args: list[str]) -> NoReturn:
    """Run the verb that the arguments begin with, and exit with its status."""
    if args == ["--version"]:
        sys.stdout.write(f"{PROGRAM} {importlib.metadata.version(PROGRAM)}\n")
        sys.exit(0)
    verb, *rest = args or ["--help"]
    if verb in _VERBS:
        _import(verb).run_verb(rest)
    choose(_VERBS, args or ["--help"], program=PROGRAM, description=_DESCRIPTION)


def _import(verb: str) -> Any:
    """Import the module of a verb: a second or more, for JAX and what it brings."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return importlib.import_module(f"carafe_jax.cli.{verb}")
    with console.status("importing JAX"):
        return importlib.import_module(f"carafe_jax.cli.{verb}")
