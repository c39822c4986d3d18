"""Dispatch of a command line to its verb; imports only what that verb needs."""

import importlib
import importlib.metadata
import sys
from typing import Any, NoReturn

from rich.console import Console

from carafe_jax.cli.choices import PROGRAM, choose

_VERBS = {
    "train": "Train a network, or resume a run: carafe-jax train TASK.",
    "evaluate": "Evaluate a trained network on test images.",
    "fill": "Fill holes in photographs.",
    "classify": "Predict the most likely classes of photographs.",
    "export": "Export a trained classifier to one file that needs only JAX to run.",
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
    """Import the module of a verb; JAX and its dependencies take a second or more."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return importlib.import_module(f"carafe_jax.cli.{verb}")
    with console.status("importing JAX"):
        return importlib.import_module(f"carafe_jax.cli.{verb}")
