"""Time the classification pipeline alone: how many images a core reads.

Cost: a few seconds for each number of workers.
Shows: training images a second by worker processes, for each core, and how many cores
would feed a network that takes `--network-speed`; as a table and input_pipeline.csv.
Command: python -m experiments.benchmarks.input_pipeline --data.source FOLDER
"""

import csv
import dataclasses
import itertools
import pathlib
import statistics
import time
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from carafe_jax.data import ClassificationData, classification_training_batches
from carafe_jax.train import run
from experiments.machine import describe_machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputPipeline:
    """What to time."""

    data: ClassificationData
    """Images and crops; its `worker_processes` is varied."""
    worker_processes: tuple[int, ...] = (0, 1, 2)
    """Processes that make batches; 0: threads of this one."""
    batches: int = 32
    """Of a timing: many more than are made ahead."""
    repetitions: int = 5
    """Timings, of which the median counts."""
    network_speed: float = 2500.0
    """Training images a second that are asked for; a guess for ResNet-50 in bfloat16 on
    an H200."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/input_pipeline.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("batches", "repetitions", "network_speed"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        if not self.worker_processes or min(self.worker_processes) < 0:
            raise ValueError(
                "`worker_processes` must be one or more numbers that are not negative, "
                f"got {self.worker_processes}."
            )


def main(config: InputPipeline, console: Console) -> int:
    """Read, and print the table."""
    machine = describe_machine()
    rows: list[dict[str, Any]] = []
    for workers in track(config.worker_processes, "reading", console=console):
        data = dataclasses.replace(config.data, worker_processes=workers)
        speed = _images_per_second(data, config.batches, config.repetitions)
        rows.append(
            {
                "image_size": data.image_size,
                "batch_size": data.batch_size,
                "worker_processes": workers,
                "images_per_second": speed,
                "images_per_second_and_core": speed / machine.cores,
                "cores_for_the_network": config.network_speed * machine.cores / speed,
                **dataclasses.asdict(machine),
            }
        )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    table = Table(
        title=f"Training images of {config.data.source}, {config.data.image_size} px, "
        f"{machine.cores} cores"
    )
    feeding = f"cores for {config.network_speed:.0f} images/s"
    for column in ("worker processes", "images/s", "a core", feeding):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row["worker_processes"]),
            f"{row['images_per_second']:.0f}",
            f"{row['images_per_second_and_core']:.0f}",
            f"{row['cores_for_the_network']:.1f}",
        )
    console.print(table)
    console.print(f"Table: {config.output}")
    return 0


def _images_per_second(
    data: ClassificationData, batches: int, repetitions: int
) -> float:
    iterator = classification_training_batches(data)
    # What is made ahead is not made while the clock runs.
    for _ in itertools.islice(iterator, 2 + data.prefetch_batches):
        pass
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        for _ in itertools.islice(iterator, batches):
            pass
        seconds.append(time.perf_counter() - began)
    return batches * data.batch_size / statistics.median(seconds)


if __name__ == "__main__":
    run(main, InputPipeline, doc=__doc__)
