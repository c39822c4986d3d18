"""Dispatch of a command line to its subcommand, the only one that is imported."""

import importlib
import importlib.metadata
import sys
from typing import Any, NoReturn

from rich.console import Console

from carafe_jax.cli.choices import PROGRAM, choose

_SUBCOMMANDS = {
    "train": "Train a network, or resume a run: carafe-jax train TASK.",
    "evaluate": "Evaluate a trained network on test images.",
    "fill": "Fill holes in photographs.",
    "detect": "Detect objects in photographs.",
    "segment": "Predict the class of each pixel of photographs.",
    "classify": "Predict the most likely classes of photographs.",
    "export": "Export a trained network to one file that needs only JAX to run.",
    "check-data": "Report what a data set holds, and what is wrong with it.",
}

_DESCRIPTION = """CARAFE++, content-aware reassembly of features, in JAX.

A run is a folder with a configuration, checkpoints and records. `train` creates it; the
other subcommands load it with --model. `carafe-jax SUBCOMMAND --help` lists options.
"""


def run_command(args: list[str]) -> NoReturn:
    """Run the subcommand that is the first argument, and exit with its status."""
    if args == ["--version"]:
        sys.stdout.write(f"{PROGRAM} {importlib.metadata.version(PROGRAM)}\n")
        sys.exit(0)
    if args and args[0] in _SUBCOMMANDS:
        _import(args[0]).run_subcommand(args[1:])
    choose(_SUBCOMMANDS, args, program=PROGRAM, description=_DESCRIPTION)


def _import(subcommand: str) -> Any:
    """Import a subcommand's module; JAX and its dependencies take a second or more."""
    module = f"carafe_jax.cli.{subcommand.replace('-', '_')}"
    console = Console(stderr=True)
    if not console.is_terminal:
        return importlib.import_module(module)
    with console.status("importing JAX"):
        return importlib.import_module(module)
