"""A classification run: its configuration, and training with a table at the end."""

import csv
import dataclasses
import json
import pathlib
import shlex
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.data import ClassificationData
from carafe_jax.errors import RefusedError
from carafe_jax.machine import describe_machine
from carafe_jax.train import (
    SGD,
    Loop,
    check_config,
    is_first,
    join_processes,
    train,
)
from experiments.classification.network import Model
from experiments.classification.task import ClassificationTask, Jitter, Loss
from experiments.classification.trained import write_classes

COLUMNS = ("top1", "top5", "loss")
_RATE_IS_FOR = 256  # Images in a batch: Goyal et al. 2017, section 2.1.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
    """Train a ResNet on labelled images."""

    workdir: pathlib.Path = dataclasses.field(metadata={"compared": False})
    """Folder of the run. The same command goes on where it stopped."""
    data: ClassificationData = ClassificationData(
        source="tfds:imagenet2012", batch_size=1024
    )
    """Images and crops."""
    model: Model = Model()
    """The network."""
    loss: Loss = Loss()
    """What is minimised."""
    jitter: Jitter = Jitter()
    """Random colours; none by default, as in the paper."""
    optimizer: SGD = SGD()
    """How; its `learning_rate` is for 256 images, and grows with the batch."""
    epochs: int = 90
    """Passes over the training images."""
    evaluate_every: int = 1
    """Epochs between evaluations, each with a checkpoint."""
    save_every: int = 1000
    """Steps between checkpoints without an evaluation."""
    log_every: int = dataclasses.field(default=10, metadata={"compared": False})
    """Steps between scalars in the progress bar, the CSV and TensorBoard."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after another, to save memory."""
    average_decay: float = 0.0
    """Decay of a moving average of the parameters, evaluated in their place; 0 keeps
    none."""
    fully_sharded: bool = dataclasses.field(default=False, metadata={"compared": False})
    """Each device holds a part of the parameters and of the optimiser's state."""
    distributed: bool = dataclasses.field(default=False, metadata={"compared": False})
    """This is one of several processes, one a host, that all run this command. They
    are recognised on Slurm, under Open MPI, on Kubernetes and on TPU pods; else
    JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID name them."""
    seed: int = 0
    """Of the parameters."""

    def __post_init__(self) -> None:
        for name in ("epochs", "evaluate_every"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )

    def loop(self, training_images: int) -> Loop:
        """Count the epochs in steps; the images over whole batches are left out."""
        steps = training_images // self.data.batch_size
        if not steps:
            raise RefusedError(
                f"`batch_size` must be at most the {training_images} training images, "
                f"got {self.data.batch_size}."
            )
        return Loop(
            steps=self.epochs * steps,
            log_every=self.log_every,
            evaluate_every=self.evaluate_every * steps,
            save_every=self.save_every,
            seed=self.seed,
            accumulate=self.accumulate,
            average_decay=self.average_decay,
            fully_sharded=self.fully_sharded,
        )

    @property
    def scaled_optimizer(self) -> SGD:
        """The optimizer with the learning rate of the batch."""
        rate = self.optimizer.learning_rate * self.data.batch_size / _RATE_IS_FOR
        return dataclasses.replace(self.optimizer, learning_rate=rate)


def main(config: Classification, console: Console) -> int:
    """Train, or go on training; then print the table."""
    if config.distributed:
        join_processes()
    if not is_first():
        console = Console(quiet=True)
    task = ClassificationTask(
        config.model, config.loss, config.data, jitter=config.jitter
    )
    loop = config.loop(task.source.training_images)
    check_config(config, workdir=config.workdir)
    if is_first():
        write_classes(config.workdir, task.source.classes)
    if (config.workdir / "table.csv").exists():
        afresh = f"rm -r {shlex.quote(str(config.workdir))}"
        console.print(Text(f"This run is finished. To start afresh: {afresh}"))
        return _show(config, console)
    machine = describe_machine()
    console.print(
        Text(
            f"ResNet-{config.model.depth}, {config.model.downsampler}, "
            f"{task.source.training_images} images of {len(task.source.classes)} "
            f"classes, {loop.steps} steps of {config.data.batch_size}, on "
            f"{machine.device}, {machine.cores} cores"
        )
    )
    began = time.perf_counter()
    outcome = train(
        task,
        optimizer=config.scaled_optimizer,
        loop=loop,
        workdir=config.workdir,
        console=console,
    )
    if outcome.interrupted_by is not None:
        step, name = int(outcome.state.step), outcome.interrupted_by.name
        console.print(
            f"Stopped by {name} after step {step} of {loop.steps}. The same command "
            "goes on from here."
        )
        return 128 + outcome.interrupted_by
    scalars = outcome.scalars or task.evaluate(outcome.state)
    provenance = {
        "steps": loop.steps,
        "test_images": task.source.test_images,
        "seconds": round(time.perf_counter() - began),
        **dataclasses.asdict(machine),
    }
    if not is_first():
        return 0
    text = json.dumps(provenance, indent=2) + "\n"
    (config.workdir / "provenance.json").write_text(text)
    write_table(config.workdir / "table.csv", scalars)
    return _show(config, console)


def write_table(path: pathlib.Path, scalars: dict[str, float]) -> None:
    """Write the numbers of a finished run."""
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow({name: scalars[name] for name in COLUMNS})
    partial.replace(path)


def read_table(path: pathlib.Path) -> dict[str, float]:
    """Read what `write_table` wrote."""
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    return {name: float(value) for name, value in row.items()}


def _show(config: Classification, console: Console) -> int:
    row = read_table(config.workdir / "table.csv")
    title = f"Test images of {config.data.source}, {config.epochs} epochs"
    table = Table(title=Text(title))
    for name in ("network", "top-1", "top-5", "loss"):
        table.add_column(name, justify="left" if name == "network" else "right")
    table.add_row(
        f"ResNet-{config.model.depth}, {config.model.downsampler}",
        f"{row['top1']:.2%}",
        f"{row['top5']:.2%}",
        f"{row['loss']:.4f}",
    )
    console.print(table)
    return 0
