"""Time the steps of ResNet with each down-sampler.

Paper: table III of CARAFE++ (arXiv:2012.04733): 12.5 to 12.1 images/s of a detector.
Cost: on two CPU cores a minute for each network to compile, and seconds a step.
Shows: medians of a training step and of inference, and their ratio to strided
convolutions, as a table and speed.csv.
Command: python -m experiments.benchmarks.networks.speed
"""

import csv
import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carafe_jax.cli.console import run
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.models import ClassifierConfig, Depth, Downsampler
from carafe_jax.tasks.classification import (
    ClassificationData,
    ClassificationTask,
    SourceContents,
)
from carafe_jax.train import SGD, Loop, make_mesh, put_batch
from carafe_jax.train.step import init_state, make_train_step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """Options of the timing."""

    depth: Depth = 50
    """Layers of the ResNet."""
    downsamplers: tuple[Downsampler, ...] = (
        "conv",
        "max",
        "average",
        "dpp",
        "lip_bottleneck",
        "carafe",
    )
    """Down-samplers of the network."""
    batch_size: int = 8
    """Images per step."""
    image_size: int = 224
    """Side of the images, in pixels."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the computation."""
    repetitions: int = 7
    """Timings of each network, all networks in turn."""
    output: pathlib.Path = pathlib.Path("runs/benchmarks/networks/speed.csv")
    """The table as a file."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "image_size", "repetitions"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )


@dataclasses.dataclass
class Network:
    """A compiled network; each call runs one step and waits for it."""

    downsampler: str
    train: Callable[[], Any]
    infer: Callable[[], Any]
    seconds: dict[str, list[float]]


def main(config: Speed, console: Console) -> int:
    """Compile all, then time them in turn."""
    networks = [
        _prepare(config, downsampler)
        for downsampler in track(config.downsamplers, "compiling", console=console)
    ]
    order = np.random.default_rng(0)
    for _ in track(range(config.repetitions), "timing", console=console):
        for index in order.permutation(len(networks)):
            network = networks[index]
            for mode, step in (("train", network.train), ("infer", network.infer)):
                step()  # Warm-up: caches hold the previous network.
                began = time.perf_counter()
                step()
                network.seconds[mode].append(time.perf_counter() - began)
    rows = _rows(config, networks)
    config.output.parent.mkdir(parents=True, exist_ok=True)
    with config.output.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    console.print(_draw(config, rows))
    console.print(f"Table: {config.output}", markup=False)
    return 0


def _prepare(config: Speed, downsampler: Downsampler) -> Network:
    model = ClassifierConfig(
        depth=config.depth, downsampler=downsampler, dtype=config.dtype
    )
    data = ClassificationData(
        source="", image_size=config.image_size, batch_size=config.batch_size
    )
    classes = tuple(map(str, range(1000)))
    source = SourceContents(classes, 0, 0)
    task = ClassificationTask(model, data, source=source)
    mesh, loop = make_mesh(), Loop(steps=1)
    rng = np.random.default_rng(0)
    size = config.batch_size, config.image_size, config.image_size, 3
    batch = put_batch(
        {
            "image": rng.integers(0, 256, size, dtype=np.uint8),
            "label": rng.integers(0, 1000, config.batch_size, dtype=np.int32),
        },
        mesh=mesh,
    )
    states = [init_state(task, SGD(), loop, mesh=mesh)]
    step, logits = make_train_step(task, loop, mesh=mesh), jax.jit(task.logits)

    def train() -> None:
        states[0], _ = jax.block_until_ready(step(states[0], batch))

    def infer() -> None:
        jax.block_until_ready(logits(states[0].variables, batch["image"]))

    train()
    infer()
    return Network(downsampler, train, infer, {"train": [], "infer": []})


def _rows(config: Speed, networks: list[Network]) -> list[dict[str, Any]]:
    machine = dataclasses.asdict(describe_machine())
    medians = {
        network.downsampler: {
            mode: statistics.median(times) for mode, times in network.seconds.items()
        }
        for network in networks
    }
    conv = medians.get("conv")
    return [
        {
            "depth": config.depth,
            "downsampler": name,
            "batch_size": config.batch_size,
            "image_size": config.image_size,
            "dtype": config.dtype,
            "mode": mode,
            "seconds": seconds,
            "over_conv": seconds / conv[mode] - 1 if conv else None,
            **machine,
        }
        for name, modes in medians.items()
        for mode, seconds in modes.items()
    ]


def _draw(config: Speed, rows: list[dict[str, Any]]) -> Table:
    table = Table(
        title=f"ResNet-{config.depth}, {config.batch_size} images of "
        f"{config.image_size} px, {config.dtype}, {rows[0]['device']}"
    )
    over = "over conv"
    for column in ("down-sampler", "training (ms)", over, "inference (ms)", over):
        table.add_column(column, justify="right")
    for name in config.downsamplers:
        cells = []
        for mode in ("train", "infer"):
            (row,) = (r for r in rows if (r["downsampler"], r["mode"]) == (name, mode))
            over = row["over_conv"]
            cells.append(f"{1e3 * row['seconds']:.1f}")
            cells.append("" if over is None else f"{100 * over:+.1f} %")
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    run(main, Speed, doc=__doc__)
