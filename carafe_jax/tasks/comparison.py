"""Several runs of several methods: each made once, then averaged over the seeds."""

import csv
import dataclasses
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_whole
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.tasks.tables import Column, Results, draw_cells, read_table
from carafe_jax.texts import counted, printable

Run = TypeVar("Run", bound=RunConfig)
Numbers = dict[str, dict[str, list[float]]]
"""By method and column: one number, or one for each seed."""
_replace: Any = dataclasses.replace  # `RunConfig` does not say that it is a dataclass.


@runtime_checkable
class Comparison(Protocol):
    """The same run with each network and each seed."""

    @property
    def base(self) -> RunConfig:
        """Shared by all runs."""
        ...

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the parameters and the order of the data."""
        ...


def check_choices(**choices: tuple[object, ...]) -> None:
    """Refuse an empty choice and one that names something twice."""
    for name, values in choices.items():
        if not values or len(set(values)) < len(values):
            raise RefusedError(
                f"`{name}` must be one or more different values, got {values}."
            )


def with_seed(run: Run, seed: int, *, name: str) -> Run:
    """Return a run with a seed of data and parameters, in a folder of its own.

    Args:
      run: Its `workdir` will hold the folders of all.
      seed: Of the parameters and the order of the data.
      name: Of the method, for the folder.
    """
    return _replace(
        run,
        data=_replace(run.data, seed=seed),
        loop=_replace(run.loop, seed=seed),
        workdir=run.workdir / f"{name}-{seed}",
    )


def repeat_over_seeds(
    comparison: Comparison,
    networks: Mapping[str, Mapping[str, object]],
    *,
    field: str,
    console: Console,
) -> int:
    """Train each network with each seed; print and write means over the seeds.

    A run that is finished already is not made again.

    Args:
      comparison: The `workdir` of its base holds a folder for each run, and
        comparison.csv.
      networks: By the name of its folders, what differs in the configuration of each
        network: {"conv": {"resampler": "conv"}}.
      field: Of the run, the one that holds the network: "network" or "generator".
      console: Where bars and tables are drawn.

    Returns:
      The exit status: that of the first run that did not end, else 0.

    Raises:
      RefusedError: The runs are those of several processes.
    """
    base, seeds = comparison.base, comparison.seeds
    if base.distributed:
        raise RefusedError(
            "`base.distributed` must be False, got True: the runs of a comparison are "
            "those of one process."
        )
    runs = {
        name: _replace(base, **{field: _replace(getattr(base, field), **changed)})
        for name, changed in networks.items()
    }
    labels = _labels({name: run.network_name for name, run in runs.items()})
    numbers: Numbers = {}
    for seed in seeds:
        for name, unseeded in runs.items():
            run = with_seed(unseeded, seed, name=name)
            console.rule(Text(printable(f"{labels[name]}, seed {seed}")))
            if status := train_and_report(run, console):
                return status
            table = read_table(run.workdir / "table.csv")
            trained = {labels[name]: table.pop(run.network_name)}
            _add(numbers, trained)
            # Classic fills, say, do not vary.
            _add(numbers, {k: v for k, v in table.items() if k not in numbers})
    _write(base.workdir / "comparison.csv", numbers)
    loop = base.loop
    epochs = loop.epochs and counted(loop.epochs, "epoch")
    length = epochs or counted(loop.total_steps, "step")
    seeded = counted(len(seeds), "seed")
    spread = "" if len(seeds) == 1 else ": mean ± deviation"
    title = f"{base.data.source}, {length}, {seeded}{spread}"
    console.print(_draw(numbers, base.columns, title=title))
    return 0


def _labels(network_names: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of methods: the network's name, if no two have the same."""
    names = list(network_names.values())
    return {
        method: name if names.count(name) == 1 else f"{name} ({method})"
        for method, name in network_names.items()
    }


def _add(numbers: Numbers, results: Results) -> None:
    for method, row in results.items():
        for name, value in row.items():
            numbers.setdefault(method, {}).setdefault(name, []).append(value)


def _write(path: pathlib.Path, numbers: Numbers) -> None:
    with (
        write_whole(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["method", "metric", "seeds", "mean", "standard_deviation"])
        for method, row in numbers.items():
            for name, values in row.items():
                mean = statistics.mean(values)
                # A single seed has no deviation.
                spread = statistics.stdev(values) if len(values) > 1 else ""
                writer.writerow([method, name, len(values), mean, spread])


def _draw(numbers: Numbers, columns: Mapping[str, Column], *, title: str) -> Table:
    cells = {
        method: {
            name: _in_words(values, columns[name])
            for name, values in row.items()
            if name in columns
        }
        for method, row in numbers.items()
    }
    return draw_cells(cells, columns, title=title, label="method")


def _in_words(values: list[float], column: Column) -> str:
    mean = column.text(statistics.mean(values))
    if len(values) == 1:
        return mean
    return f"{mean}\n± {column.text(statistics.stdev(values))}"
