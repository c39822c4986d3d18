"""Several runs of several methods: each made once, then averaged over the seeds."""

import csv
import pathlib
import statistics
from collections.abc import Callable, Mapping
from typing import TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.errors import RefusedError
from experiments.inpainting import report
from experiments.inpainting.training import Run

Config = TypeVar("Config", bound=Run)
Statistics = dict[str, dict[str, tuple[float, float]]]
"""Mean and standard deviation of every number, by method and number."""


def check_choices(**choices: tuple[object, ...]) -> None:
    """Refuse an empty choice and one that names something twice."""
    for name, values in choices.items():
        if not values or len(set(values)) < len(values):
            raise RefusedError(
                f"`{name}` must be one or more different values, got {values}."
            )


def compare(
    main: Callable[[Config, Console], int],
    runs: Mapping[tuple[str, int], Config],
    *,
    workdir: pathlib.Path,
    title: str,
    console: Console,
) -> int:
    """Make every run that is not finished yet, then print and write what they gave.

    Args:
      main: Makes one run; returns its exit status.
      runs: Configurations by method, as its row is called in their tables, and seed.
      workdir: Folder of comparison.csv.
      title: Of the printed table.
      console: Where bars and tables are drawn.

    Returns:
      The exit status: that of the first run that did not end, else 0.
    """
    tables = {}
    for (method, seed), config in runs.items():
        console.rule(f"{method}, seed {seed}")
        status = main(config, console)
        if status:
            return status
        tables[method, seed] = report.read_table(config.workdir / "table.csv")
    results = _over_seeds(tables)
    _write(workdir / "comparison.csv", results)
    console.print(_draw(results, title=title))
    return 0


def _over_seeds(tables: Mapping[tuple[str, int], dict]) -> Statistics:
    """Mean and standard deviation of every number; the fills do not vary."""
    methods = dict.fromkeys(method for method, _ in tables)
    some = next(iter(tables.values()))
    fills = [name for name in some if name not in methods]
    results = {name: {k: (v, 0.0) for k, v in some[name].items()} for name in fills}
    for method in methods:
        rows = [table[method] for (name, _), table in tables.items() if name == method]
        results[method] = {
            name: _mean_and_deviation([row[name] for row in rows])
            for name in report.COLUMNS
        }
    return results


def _mean_and_deviation(values: list[float]) -> tuple[float, float]:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def _write(path: pathlib.Path, results: Statistics) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "metric", "mean", "standard_deviation"])
        for method, row in results.items():
            writer.writerows([method, name, *pair] for name, pair in row.items())


def _draw(results: Statistics, *, title: str) -> Table:
    table = Table(title=Text(title))
    table.add_column("method")
    for name, unit in report.COLUMNS.items():
        table.add_column(f"{name.split('_')[0]}\n{unit}", justify="right")
    for method, row in results.items():
        cells = (f"{mean:.3f}\n± {spread:.3f}" for mean, spread in row.values())
        table.add_row(method, *cells)
    return table
