"""Train a CARAFE++ U-Net to fill holes in photographs, in minutes on a laptop.

Paper: the inpainting set-up of CARAFE++ (arXiv:2012.04733, section 4.3), scaled down: a
small U-Net, no discriminator, free-form holes after Yu et al. (arXiv:1806.03589).
Cost: about three minutes on two cores.
Shows: samples.png and a table of L1, PSNR and SSIM beside two classic fills.
Command: python -m experiments.inpainting.quickstart
Other pictures: add --data.source FOLDER --workdir runs/inpainting/FOLDER
Without CARAFE++: add --model.resampler conv --workdir runs/inpainting/conv
"""

import dataclasses
import pathlib
import shlex
import time

import numpy as np
from rich.console import Console
from rich.text import Text

from carafe_jax.data import InpaintingBatch, InpaintingData
from carafe_jax.train import Loop, Optimizer, check_config, run, train
from experiments.inpainting import fills, report
from experiments.inpainting.network import Model
from experiments.inpainting.task import InpaintingTask, Loss, quality
from experiments.machine import describe_machine


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quickstart:
    """An inpainting run."""

    model: Model = Model()
    """The network."""
    data: InpaintingData = InpaintingData(
        crop_size=64, batch_size=8, colours="shuffled"
    )
    """Photographs and holes."""
    loss: Loss = Loss()
    """What is minimised."""
    optimizer: Optimizer = Optimizer(learning_rate=2e-3)
    """How."""
    loop: Loop = Loop(steps=900, evaluate_every=300, save_every=300)
    """How long."""
    workdir: pathlib.Path = dataclasses.field(
        default=pathlib.Path("runs/inpainting/quickstart"), metadata={"compared": False}
    )
    """Folder of the run. The same command goes on where it stopped."""
    sample_rows: int = dataclasses.field(default=6, metadata={"compared": False})
    """Pictures in samples.png."""


def main(config: Quickstart, console: Console) -> int:
    """Train, or go on training; then draw the samples and print the table."""
    task = InpaintingTask(config.model, config.loss, config.data)
    check_config(config, workdir=config.workdir)
    if (config.workdir / "table.csv").exists():
        afresh = f"rm -r {shlex.quote(str(config.workdir))}"
        console.print(Text(f"This run is finished. To start afresh: {afresh}"))
        return _show(config, console)
    machine = describe_machine()
    console.print(
        f"{config.model.resampler} U-Net, {config.loop.steps} steps of "
        f"{config.data.batch_size} crops, on {machine.device}, {machine.cores} cores"
    )
    began = time.perf_counter()
    outcome = train(
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
    with console.status("filling the holes of the test pictures"):
        filled = {
            "mean colour": fills.mean_colour(task.test),
            "biharmonic": fills.biharmonic(task.test),
            config.model.resampler: task.fill(outcome.state.params, task.test),
        }
        results = {name: quality(images, task.test) for name, images in filled.items()}
        _save_samples(config, task.test, filled)
        report.write_provenance(config.workdir / "provenance.json", provenance)
        report.write_table(config.workdir / "table.csv", results)
    return _show(config, console)


def _save_samples(
    config: Quickstart, truth: InpaintingBatch, filled: dict[str, np.ndarray]
) -> None:
    """Draw pictures from all over the test set."""
    count = len(truth["image"])
    rows = np.linspace(0, count - 1, min(config.sample_rows, count)).astype(int)
    report.save_samples(
        config.workdir / "samples.png",
        truth=InpaintingBatch(image=truth["image"][rows], mask=truth["mask"][rows]),
        fills={
            name: filled[name][rows] for name in ("biharmonic", config.model.resampler)
        },
    )


def _show(config: Quickstart, console: Console) -> int:
    results = report.read_table(config.workdir / "table.csv")
    title = f"Test pictures of {config.data.source}, {config.loop.steps} steps"
    console.print(report.draw_table(results, title=title))
    console.print(Text(f"Pictures: {config.workdir / 'samples.png'}"))
    return 0


if __name__ == "__main__":
    run(main, Quickstart(), doc=__doc__)
