"""Comparisons of methods: a run per method and seed, averaged over the seeds."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from carafe_jax.arguments import check
from carafe_jax.data.sources.opening import name_of_source
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new
from carafe_jax.tasks.comparison_file import ComparisonFile
from carafe_jax.tasks.comparison_rows import Row
from carafe_jax.tasks.comparison_table import (
    TableFormat,
    draw_comparison,
    markdown_of,
)
from carafe_jax.tasks.lines import print_line
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.texts import counted, printable

Run = TypeVar("Run", bound=RunConfig)
_replace: Any = dataclasses.replace  # `Run` is not typed as a dataclass.


@dataclasses.dataclass(frozen=True, kw_only=True)
class ComparisonConfig:
    """Fields common to all comparisons."""

    base: RunConfig
    """Configuration shared by all runs. Its `workdir` holds one folder per run."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the parameters and of the data order. The table also includes the other
    seeds in the `results` file."""
    methods: tuple[str, ...] | None = None
    """Methods to train, by their names in the `results` file. None: all."""
    results: pathlib.Path
    """CSV file; each finished run adds a row. Runs that have a row, even from another
    machine, are skipped, and their folders are not needed. A JSON file beside it stores
    the configurations: a different one is an error, and needs another CSV file."""
    table: TableFormat = "console"
    """Format of the final table: "console", or "markdown" to paste into a document."""

    def __post_init__(self) -> None:
        check_distinct(seeds=self.seeds)
        if self.methods is not None:
            check_distinct(methods=self.methods)
        rule = "be the path of a CSV, NAME.csv"
        holds = self.results.suffix == ".csv"
        check("results", str(self.results), rule, holds=holds)


def check_distinct(**choices: tuple[object, ...]) -> None:
    """Raise if a choice is empty or holds a value twice."""
    for name, values in choices.items():
        if not values or len(set(values)) < len(values):
            raise RefusedError(
                f"`{name}` must be one or more different values, got {values}."
            )


def with_fields(run: Run, part: str, **fields: object) -> Run:
    """Return a run with some fields of one of its parts replaced.

    Args:
      run: Run of any task.
      part: A field that holds a dataclass: "network", "data", "loop".
      **fields: New values of fields of that dataclass.
    """
    return _replace(run, **{part: _replace(getattr(run, part), **fields)})


def with_seed(run: Run, seed: int, *, name: str) -> Run:
    """Return a run with another seed of data and parameters, in its own folder.

    Args:
      run: Run whose `workdir` becomes the parent of the new folder.
      seed: Seed of the parameters and of the data order.
      name: Name of the method, for the folder.
    """
    seeded = with_fields(with_fields(run, "data", seed=seed), "loop", seed=seed)
    return _replace(seeded, workdir=run.workdir / f"{name}-{seed}")


def repeat_over_seeds(
    comparison: ComparisonConfig,
    runs: Mapping[str, RunConfig],
    *,
    labels: Mapping[str, str] | None = None,
    console: Console,
) -> int:
    """Train each method with each seed, and print means over the seeds.

    When a run ends, its row is written at once; if a later run fails, the same command
    resumes after it. Runs that already have a row, from any machine, are skipped. All
    methods are trained with one seed before the next. The table shows all rows of the
    file, including those of seeds and methods that this call does not train.

    Args:
      comparison: Configuration; the `workdir` of its `base` holds one folder per run.
      runs: Run of each method, by the name in its folders and rows, in the order of the
        table. Seeds and folders are replaced.
      labels: Names of the methods in the table; by default those of their networks.
      console: Console for progress bars and tables.

    Returns:
      The exit status: that of the first run that did not finish, else 0.

    Raises:
      RefusedError: `base.distributed` is True; a method is unknown; or the file is
        damaged, or holds rows of another configuration.
    """
    if comparison.base.distributed:
        raise RefusedError(
            "`base.distributed` must be False, got True: each run of a comparison uses "
            "one process."
        )
    names = runs if comparison.methods is None else comparison.methods
    check("methods", names, f"be among {', '.join(runs)}", holds={*names} <= {*runs})
    check_new("results", comparison.results, overwrite=True)
    file = ComparisonFile(comparison.results, runs)
    labels = labels or _names_of_networks(runs)
    pairs = [(name, seed) for seed in comparison.seeds for name in names]
    if present := len({*pairs} & _pairs(file)):
        print_line(
            console, f"{file.path} has {present} of {counted(len(pairs), 'run')}."
        )
    for name, seed in pairs:
        if (name, seed) in _pairs(file):
            continue
        run = with_seed(runs[name], seed, name=name)
        console.rule(Text(printable(f"{labels[name]}, seed {seed}")))
        if status := train_and_report(run, console):
            return status
        file.add(run, method=name)
    _show(comparison, file.read(), labels, console)
    return 0


def _names_of_networks(runs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Return the label of each method: the name of its network.

    Where methods share a network name, the method's own follows in brackets.
    """
    names = [run.network_name for run in runs.values()]
    return {
        method: name if names.count(name) == 1 else f"{name} ({method})"
        for method, name in zip(runs, names, strict=True)
    }


def _pairs(file: ComparisonFile) -> set[tuple[str, int | None]]:
    """Return method and seed of each row; other processes may have added rows."""
    return {(row.method, row.seed) for row in file.read()}


def _show(
    comparison: ComparisonConfig,
    rows: Sequence[Row],
    labels: Mapping[str, str],
    console: Console,
) -> None:
    columns = comparison.base.columns
    if comparison.table == "markdown":
        for line in markdown_of(rows, labels, columns):
            print_line(console, line)
    else:
        repeated = len({row.seed for row in rows} - {None}) > 1
        spread = ": mean ± standard deviation over the seeds" if repeated else ""
        title = f"{name_of_source(comparison.base.data.source)}{spread}"
        console.print(draw_comparison(rows, labels, columns, title=title))
    machines = (
        f"{row.device}, cores: {row.cores}, JAX {row.jax}, Python {row.python}"
        for row in rows
    )
    days = sorted({row.date[:10] for row in rows})
    print_line(console, f"Dates: {' to '.join(dict.fromkeys([days[0], days[-1]]))}")
    print_line(console, f"Machines: {'; '.join(dict.fromkeys(machines))}")
    print_line(console, f"Results: {comparison.results}")
