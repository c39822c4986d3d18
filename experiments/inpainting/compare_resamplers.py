"""Train the quickstart's network with CARAFE++ and with plain layers, and compare.

Paper: the question of table X of CARAFE++ (arXiv:2012.04733), scaled down.
Cost: the quickstart's, times two resamplers, times the seeds.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv.
Command: python -m experiments.inpainting.compare_resamplers --base.data.source FOLDER
"""

import csv
import dataclasses
import pathlib
import statistics

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.train import run
from experiments.inpainting import quickstart, report
from experiments.inpainting.network import Resampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each resampler and each seed."""

    base: quickstart.Quickstart = quickstart.Quickstart(
        workdir=pathlib.Path("runs/inpainting/comparison")
    )
    """What all runs share; its `workdir` holds a folder for each. Its resampler and
    seeds are those below."""
    resamplers: tuple[Resampler, ...] = ("carafe", "conv")
    """What to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        for name in ("resamplers", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(
                    f"`{name}` must be one or more different values, got {values}."
                )


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""
    tables = {}
    for seed in config.seeds:
        for resampler in config.resamplers:
            one = _run_of(config, resampler, seed)
            console.rule(f"{resampler}, seed {seed}")
            status = quickstart.main(one, console)
            if status:
                return status
            tables[resampler, seed] = report.read_table(one.workdir / "table.csv")
    results = _over_seeds(config, tables)
    _write(config.base.workdir / "comparison.csv", results)
    console.print(_draw(config, results))
    return 0


def _run_of(
    config: Comparison, resampler: Resampler, seed: int
) -> quickstart.Quickstart:
    base = config.base
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, resampler=resampler),
        data=dataclasses.replace(base.data, seed=seed),
        loop=dataclasses.replace(base.loop, seed=seed),
        workdir=base.workdir / f"{resampler}-{seed}",
    )


Statistics = dict[str, dict[str, tuple[float, float]]]


def _over_seeds(config: Comparison, tables: dict) -> Statistics:
    """Mean and standard deviation of every number; the fills do not vary."""
    some = next(iter(tables.values()))
    fills = [name for name in some if name not in config.resamplers]
    results = {name: {k: (v, 0.0) for k, v in some[name].items()} for name in fills}
    for resampler in config.resamplers:
        rows = [tables[resampler, seed][resampler] for seed in config.seeds]
        results[resampler] = {
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


def _draw(config: Comparison, results: Statistics) -> Table:
    title = (
        f"{config.base.data.source}, {config.base.loop.steps} steps, "
        f"{len(config.seeds)} seeds: mean ± standard deviation"
    )
    table = Table(title=Text(title))
    table.add_column("method", no_wrap=True)
    for name, unit in report.COLUMNS.items():
        table.add_column(f"{name.split('_')[0]}\n{unit}", justify="right")
    for method, row in results.items():
        cells = (f"{mean:.3f}\n± {spread:.3f}" for mean, spread in row.values())
        table.add_row(method, *cells)
    return table


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
