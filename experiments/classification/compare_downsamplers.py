"""Train a small ResNet with each down-sampler of table III, and compare.

Paper: the question of table III of CARAFE++ (arXiv:2012.04733), scaled down and asked
of classification itself.
Cost: one training for each down-sampler and seed.
Shows: mean and standard deviation over the seeds, as a table and comparison.csv.
Command: python -m experiments.classification.compare_downsamplers
A folder instead of TFDS: add --base.data.source FOLDER
"""

import csv
import dataclasses
import pathlib
import statistics

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.data import ClassificationData
from carafe_jax.train import run
from experiments.classification import training
from experiments.classification.network import Downsampler, Model


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same run with each down-sampler and each seed."""

    base: training.Classification = training.Classification(
        data=ClassificationData(
            source="tfds:imagenette/160px-v2",
            image_size=64,
            resize_size=64,
            batch_size=128,
        ),
        model=Model(depth=18, width=16),
        epochs=10,
        workdir=pathlib.Path("runs/classification/comparison"),
    )
    """What all runs share; its `workdir` holds a folder for each. Its down-sampler and
    seeds are those below."""
    downsamplers: tuple[Downsampler, ...] = (
        "conv",
        "max",
        "average",
        "dpp",
        "lip",
        "carafe",
    )
    """What to compare."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the parameters and the order of the data."""

    def __post_init__(self) -> None:
        for name in ("downsamplers", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise RefusedError(
                    f"`{name}` must be one or more different values, got {values}."
                )


def main(config: Comparison, console: Console) -> int:
    """Make every run that is not finished yet, then compare them."""
    numbers: dict[Downsampler, list[dict[str, float]]] = {
        name: [] for name in config.downsamplers
    }
    for seed in config.seeds:
        for downsampler in config.downsamplers:
            one = _run_of(config, downsampler, seed)
            console.rule(f"{downsampler}, seed {seed}")
            status = training.main(one, console)
            if status:
                return status
            numbers[downsampler].append(training.read_table(one.workdir / "table.csv"))
    _write(config.base.workdir / "comparison.csv", numbers)
    console.print(_draw(config, numbers))
    return 0


def _run_of(
    config: Comparison, downsampler: Downsampler, seed: int
) -> training.Classification:
    base = config.base
    return dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, downsampler=downsampler),
        data=dataclasses.replace(base.data, seed=seed),
        seed=seed,
        workdir=base.workdir / f"{downsampler}-{seed}",
    )


def _statistics(rows: list[dict[str, float]], name: str) -> tuple[float, float]:
    values = [row[name] for row in rows]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), spread


def _write(
    path: pathlib.Path, numbers: dict[Downsampler, list[dict[str, float]]]
) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["downsampler", "metric", "mean", "standard_deviation"])
        for downsampler, rows in numbers.items():
            for name in training.COLUMNS:
                writer.writerow([downsampler, name, *_statistics(rows, name)])


def _draw(
    config: Comparison, numbers: dict[Downsampler, list[dict[str, float]]]
) -> Table:
    base = config.base
    title = (
        f"ResNet-{base.model.depth}, {base.data.source}, {base.epochs} epochs, "
        f"{len(config.seeds)} seeds: mean ± standard deviation"
    )
    table = Table(title=Text(title))
    table.add_column("down-sampler")
    for name in training.COLUMNS:
        table.add_column(name, justify="right")
    for downsampler, rows in numbers.items():
        cells = []
        for name in training.COLUMNS:
            mean, spread = _statistics(rows, name)
            cells.append(f"{mean:.4f} ± {spread:.4f}")
        table.add_row(downsampler, *cells)
    return table


if __name__ == "__main__":
    run(main, Comparison(), doc=__doc__)
