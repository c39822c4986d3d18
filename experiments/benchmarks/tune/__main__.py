"""Command line: `python -m experiments.benchmarks.tune --help`."""

import sys

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from experiments.benchmarks.tune.config import Config
from experiments.benchmarks.tune.jobs import Job, jobs_of
from experiments.benchmarks.tune.run import Result, tune


def main() -> None:
    """Read the command line and search."""
    config = tyro.cli(Config, prog="python -m experiments.benchmarks.tune")
    try:
        jobs = jobs_of(config)
    except ValueError as error:
        sys.exit(str(error))
    console = Console()
    with Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
    ) as progress:
        bar = progress.add_task("", total=len(jobs))

        def on_job(job: Job) -> None:
            progress.update(bar, description=str(job))

        def on_result(result: Result) -> None:
            console.print(str(result), markup=False, highlight=False)
            progress.advance(bar)

        tune(jobs, config, on_job=on_job, on_result=on_result)


if __name__ == "__main__":
    main()
