"""An inpainting run: training, then a picture and a table."""

import dataclasses
import pathlib
import shlex
import time
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.text import Text

from carafe_jax.data import InpaintingBatch, InpaintingData
from carafe_jax.machine import describe_machine
from carafe_jax.train import Loop, Optimization, TrainState, check_config, is_first
from carafe_jax.train import train as train_task
from experiments.inpainting import fills, report
from experiments.inpainting.task import quality, spread, take


class Run(Protocol):
    """What the configurations of inpainting runs have in common."""

    @property
    def data(self) -> InpaintingData: ...

    @property
    def optimizer(self) -> Optimization: ...

    @property
    def loop(self) -> Loop: ...

    @property
    def workdir(self) -> pathlib.Path: ...

    @property
    def sample_rows(self) -> int: ...


class FillingTask(Protocol):
    """A task whose model fills holes."""

    test: InpaintingBatch

    def fill(
        self, state: TrainState, batch: InpaintingBatch
    ) -> Float32[np.ndarray, "n h w 3"]: ...


def train_and_report(config: Run, task: Any, *, method: str, console: Console) -> int:
    """Train, or go on training; then draw the samples and print the table.

    Args:
      config: A dataclass.
      task: A task to train that is a `FillingTask` as well.
      method: What the network is called in the table.
      console: Where bar and table are drawn.

    Returns:
      The exit status: 0, or 128 and the number of the signal that ended training.
    """
    if not is_first():
        console = Console(quiet=True)
    check_config(config, workdir=config.workdir)
    if (config.workdir / "table.csv").exists():
        afresh = f"rm -r {shlex.quote(str(config.workdir))}"
        console.print(Text(f"This run is finished. To start afresh: {afresh}"))
        return _show(config, console)
    machine = describe_machine()
    console.print(
        f"{method}, {config.loop.steps} steps of {config.data.batch_size} crops, "
        f"on {machine.device}, {machine.cores} cores"
    )
    began = time.perf_counter()
    outcome = train_task(
        task,
        optimizer=config.optimizer,
        loop=config.loop,
        workdir=config.workdir,
        console=console,
    )
    if outcome.interrupted_by is not None:
        step, name = int(outcome.state.step), outcome.interrupted_by.name
        console.print(
            f"Stopped by {name} after step {step} of {config.loop.steps}. The same "
            "command goes on from here."
        )
        return 128 + outcome.interrupted_by
    provenance = {
        "steps": config.loop.steps,
        "seconds": round(time.perf_counter() - began),
        **dataclasses.asdict(machine),
    }
    filled = task.fill(outcome.state, task.test)
    if is_first():
        with console.status("filling the holes of the test pictures"):
            _report(config, task.test, {method: filled}, provenance)
    return _show(config, console)


def _report(
    config: Run,
    truth: InpaintingBatch,
    filled: dict[str, np.ndarray],
    provenance: dict[str, object],
) -> None:
    """Write table and picture; the table last, for it marks a finished run."""
    every = {
        "mean colour": fills.mean_colour(truth),
        "biharmonic": fills.biharmonic(truth),
        **filled,
    }
    results = {name: quality(images, truth) for name, images in every.items()}
    rows = spread(len(truth["image"]), count=config.sample_rows)
    drawn = {name: every[name][rows] for name in ("biharmonic", *filled)}
    sheet = report.draw_samples(take(truth, rows), fills=drawn)
    sheet.save(config.workdir / "samples.png")
    report.write_provenance(config.workdir / "provenance.json", provenance)
    report.write_table(config.workdir / "table.csv", results)


def _show(config: Run, console: Console) -> int:
    if is_first():
        results = report.read_table(config.workdir / "table.csv")
        title = f"Test pictures of {config.data.source}, {config.loop.steps} steps"
        console.print(report.draw_table(results, title=title))
        console.print(Text(f"Pictures: {config.workdir / 'samples.png'}"))
    return 0
