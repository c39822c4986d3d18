"""Train a network, or resume a run."""

import sys
from collections.abc import Mapping
from typing import NoReturn

from carafe_jax.cli.choices import PROGRAM, choose
from carafe_jax.cli.console import called_as, run
from carafe_jax.tasks.registry import TASKS
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_config import RunConfig

_STOPPED = "Stopped. The same command resumes from the last checkpoint."

_DOC = """{summary}

A run resumes only with the options that it was started with; its length may grow, and
options that do not affect results may change.
Example: carafe-jax train {task} --data.source FOLDER --workdir runs/mine
Resuming: the same command again
"""


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with a task and its options, and exit."""
    # Names are compared as tyro reads them.
    task = args[0].replace("_", "-") if args else None
    if task not in TASKS:
        choose(
            {name: each.summary for name, each in TASKS.items()},
            args,
            program=f"{PROGRAM} train",
            description="Train a network, or resume a run, with a task's options.",
        )
    registered = TASKS[task]
    run(
        train_and_report,
        registered.default_run(),
        doc=_DOC.format(summary=registered.summary, task=task),
        program=f"{PROGRAM} train {task}",
        args=args[1:],
        stopped=_STOPPED,
    )


def train(config: RunConfig, *, doc: str | None) -> NoReturn:
    """Run an experiment, with overrides from the command line; then exit.

    Args:
      config: The experiment's values.
      doc: Text above the options in `--help`: the experiment's docstring.
    """
    run(train_and_report, config, doc=doc, stopped=_STOPPED)


def train_one_of(configs: Mapping[str, RunConfig], *, doc: str) -> NoReturn:
    """Run one of several experiments, whose name is the first argument; then exit.

    Without a name, or with `--help`, the names are listed.

    Args:
      configs: Values of the experiments, by name.
      doc: Text above the names in `--help`: the docstring of the experiments.
    """
    args, program = sys.argv[1:], called_as()
    # Names are compared as tyro reads them.
    name = args[0].replace("-", "_") if args else ""
    if name not in configs:
        summaries = {name: each.network_name for name, each in configs.items()}
        choose(summaries, args, program=program, description=doc)
    run(
        train_and_report,
        configs[name],
        doc=doc,
        program=f"{program} {name}",
        args=args[1:],
        stopped=_STOPPED,
    )
