"""Finds the verb of a command line, and imports no more than that verb needs."""

import importlib
import importlib.metadata
import sys
from collections.abc import Callable
from typing import NoReturn

import tyro

from carafe_jax.cli.help import keep_lines
from carafe_jax.tasks.registry import TASKS

PROGRAM = "carafe-jax"

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
    if verb == "train":
        _train(rest)
    if verb in _VERBS:
        importlib.import_module(f"carafe_jax.cli.{verb}").run_verb(rest)
    _choose(_VERBS, args or ["--help"], program=PROGRAM, description=_DESCRIPTION)


def _train(args: list[str]) -> NoReturn:
    task, *rest = args or ["--help"]
    if task in TASKS:
        from carafe_jax.cli import train

        train.run_verb(task, rest)
    _choose(
        {name: task.summary for name, task in TASKS.items()},
        args or ["--help"],
        program=f"{PROGRAM} train",
        description="Train a network, or resume a run, with a task's options.\n",
    )


def _choose(
    summaries: dict[str, str], args: list[str], *, program: str, description: str
) -> NoReturn:
    """Print the help, or the refusal of a name that is none of the choices."""
    tyro.extras.subcommand_cli_from_dict(
        {name: _described(summary) for name, summary in summaries.items()},
        prog=program,
        description=keep_lines(description),
        args=args,
    )
    raise AssertionError(f"{program} {args} is neither a choice nor refused.")


def _described(summary: str) -> Callable[[], None]:
    def choice() -> None: ...

    choice.__doc__ = summary
    return choice
