"""Time the input pipeline of classification alone, in images per second and core.

Cost: a few seconds for each number of workers.
Shows: training images per second by worker processes, the same per core, and the cores
that feed a network of `--network-speed`; as a table and input_pipeline.csv.
Command: python -m experiments.benchmarks.input_pipeline --data.source FOLDER
Like ImageNet: add --jpeg-size 500 375 where the images of the folder are smaller
"""

import contextlib
import csv
import dataclasses
import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from carafe_jax.cli.console import run
from carafe_jax.data import open_labelled_images, to_rgb
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.tasks.classification.data import ClassificationData, training_batches
from carafe_jax.texts import counted, printable

_JPEGS = 500
# Enlarged images are smooth, and photographs are not: with noise of this standard
# deviation, a JPEG of 500 x 375 pixels takes some 80 kB.
_NOISE = 12.0
_JPEG_QUALITY = 90


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputPipeline:
    """Options of the timing."""

    data: ClassificationData
    """Images and crops; its `worker_processes` is varied."""
    worker_processes: tuple[int, ...] = (0, 1, 2)
    """Numbers of worker processes to time; 0: threads of this process."""
    batches: int = 32
    """Batches of a timing, many more than are prefetched."""
    repetitions: int = 5
    """Timings, of which the median counts."""
    jpeg_size: tuple[int, int] | None = None
    """Width and height in pixels of JPEGs that are made from the images, with noise, in
    a temporary folder, and read in their place; ImageNet's are about 500 x 375. None:
    the images themselves."""
    network_speed: float = 2500.0
    """Training images per second of the network to feed; the default is a guess for
    ResNet-50 in bfloat16 on an H200."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/input_pipeline.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("batches", "repetitions", "network_speed"):
            if getattr(self, name) <= 0:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        if self.jpeg_size is not None and min(self.jpeg_size) < 1:
            raise RefusedError(f"`jpeg_size` must be positive, got {self.jpeg_size}.")
        if not self.worker_processes or min(self.worker_processes) < 0:
            raise RefusedError(
                "`worker_processes` must be one or more numbers that are not negative, "
                f"got {self.worker_processes}."
            )


def main(config: InputPipeline, console: Console) -> int:
    """Time each number of workers, and print the table."""
    machine = describe_machine()
    jpegs = "x".join(map(str, config.jpeg_size)) if config.jpeg_size else ""
    rows: list[dict[str, Any]] = []
    with _images(config, console) as source:
        for workers in track(config.worker_processes, "reading", console=console):
            data = dataclasses.replace(
                config.data, source=source, worker_processes=workers
            )
            speed = _images_per_second(data, config.batches, config.repetitions)
            cores_for_the_network = config.network_speed * machine.cores / speed
            rows.append(
                {
                    "jpeg_size": jpegs,
                    "image_size": data.image_size,
                    "batch_size": data.batch_size,
                    "worker_processes": workers,
                    "images_per_second": speed,
                    "images_per_second_and_core": speed / machine.cores,
                    "cores_for_the_network": cores_for_the_network,
                    **dataclasses.asdict(machine),
                }
            )
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    title = (
        f"Training images of {config.data.source}"
        + (f" as JPEGs of {jpegs} px" if jpegs else "")
        + f", {config.data.image_size} px, {counted(machine.cores, 'core')}"
    )
    table = Table(title=Text(printable(title)))
    feeding = f"cores for {config.network_speed:.0f} images/s"
    for column in ("worker processes", "images/s", "images/s per core", feeding):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row["worker_processes"]),
            f"{row['images_per_second']:.0f}",
            f"{row['images_per_second_and_core']:.0f}",
            f"{row['cores_for_the_network']:.1f}",
        )
    console.print(table)
    console.print(f"Table: {config.output}", markup=False)
    return 0


@contextlib.contextmanager
def _images(config: InputPipeline, console: Console) -> Iterator[str]:
    """Yield the source of the images; JPEGs made from them exist in the block."""
    if config.jpeg_size is None:
        yield config.data.source
        return
    with tempfile.TemporaryDirectory() as folder:
        with console.status("making JPEGs"):
            _write_jpegs(config.data.source, config.jpeg_size, pathlib.Path(folder))
        yield folder


def _write_jpegs(source: str, size: tuple[int, int], folder: pathlib.Path) -> None:
    """Write images, spread over a source, as the training split of a folder."""
    images = open_labelled_images(source, split="train")
    # An empty test split: without one, images of `train` would be held out.
    (folder / "val").mkdir()
    rng = np.random.default_rng(0)
    chosen = np.linspace(0, len(images) - 1, _JPEGS).astype(int).tolist()
    for number, index in enumerate(chosen):
        image, label = images.open(index)
        with image:
            large = to_rgb(image).resize(size, Image.Resampling.BICUBIC)
        noise = rng.normal(0, _NOISE, (size[1], size[0], 1))
        pixels = np.uint8((np.asarray(large) + noise).clip(0, 255))
        path = folder / "train" / images.classes[label] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=_JPEG_QUALITY)


def _images_per_second(
    data: ClassificationData, batches: int, repetitions: int
) -> float:
    iterator = training_batches(data)
    # The first batches are prefetched before the clock starts: leave them out.
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
