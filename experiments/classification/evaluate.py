"""Measure a trained classifier on the test images of a folder.

Cost: a forward pass of every image.
Shows: top-1, top-5 and loss over exactly the whole test set, as a table.
Command: python -m experiments.classification.evaluate --workdir RUN --source FOLDER
"""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.data import (
    ClassificationData,
    describe_source,
    test_batches,
)
from carafe_jax.train import Which, run
from experiments.classification.task import count_correct, mean_of_counts
from experiments.classification.trained import Trained, load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A checkpoint, and images that it has not seen."""

    workdir: pathlib.Path
    """Folder of the run."""
    source: str
    """Path of a folder SPLIT/CLASS/*.jpg with `train` and `val`, or "tfds:NAME"."""
    checkpoint: Which = "best"
    """The best by top-1, or the last."""
    batch_size: int = 64
    """Images at a time."""


def main(config: Evaluation, console: Console) -> int:
    """Classify every test image; print the table."""
    trained = load(config.workdir, which=config.checkpoint)
    data = ClassificationData(
        source=config.source,
        image_size=trained.image_size,
        resize_size=trained.resize_size,
        batch_size=config.batch_size,
    )
    source = describe_source(data)
    if source.classes != trained.classes:
        raise RefusedError(
            f"`source` must have the {len(trained.classes)} classes of the run, "
            f"{_some(trained.classes)}, got {len(source.classes)}: "
            f"{_some(source.classes)}."
        )
    numbers = _measure(trained, data, source.test_images, console)
    table = Table(title=Text(f"{config.source}, step {trained.step}"))
    for name in numbers:
        table.add_column(name, justify="right")
    table.add_row(*(f"{value:.4f}" for value in numbers.values()))
    console.print(table)
    return 0


def _measure(
    trained: Trained, data: ClassificationData, images: int, console: Console
) -> dict[str, float]:
    @jax.jit
    def count(batch):
        return count_correct(trained.logits(batch["image"]), batch)

    counts = [
        count(jax.tree.map(jnp.asarray, dict(batch)))
        for batch in track(
            test_batches(data),
            description="classifying",
            total=-(-images // data.batch_size),
            console=console,
        )
    ]
    return mean_of_counts(jax.tree.map(lambda *x: np.sum(np.asarray(x)), *counts))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


if __name__ == "__main__":
    run(main, Evaluation, doc=__doc__)
