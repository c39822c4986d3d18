"""Name the likeliest classes of photographs with a trained classifier.

Cost: a forward pass of every image.
Shows: the five likeliest classes of each image, as a table and predictions.csv.
Command: python -m experiments.classification.predict --workdir RUN --images FILES
"""

import csv
import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carafe_jax.data import UNREADABLE, decode_centre, list_images
from carafe_jax.errors import RefusedError
from carafe_jax.train import Which, run
from experiments.classification.trained import Trained, load


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """A checkpoint, and photographs."""

    workdir: pathlib.Path
    """Folder of the run."""
    images: tuple[pathlib.Path, ...]
    """Image files, and folders of them in any nesting."""
    checkpoint: Which = "best"
    """The best by top-1, or the last."""
    classes: int = 5
    """How many to name."""
    output: pathlib.Path = pathlib.Path("predictions.csv")
    """The table as a file."""


def main(config: Prediction, console: Console) -> int:
    """Classify every image; print and write the table. Unreadable ones are named."""
    if config.classes < 1:
        raise RefusedError(f"`classes` must be positive, got {config.classes}.")
    paths = [path for given in config.images for path in list_images(given)]
    trained = load(config.workdir, which=config.checkpoint)
    rows, refused = _predict(trained, paths, config.classes, console)
    table = Table()
    table.add_column("image")
    table.add_column("classes")
    for path, named in rows:
        table.add_row(str(path), ", ".join(f"{n} {p:.1%}" for n, p in named))
    console.print(table)
    for path, reason in refused:
        console.print(f"Unreadable: {path} ({reason})", markup=False)
    with config.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "rank", "class", "probability"])
        for path, named in rows:
            writer.writerows([path, i, *pair] for i, pair in enumerate(named, 1))
    console.print(f"Table: {config.output}")
    return 1 if refused else 0


_Named = list[tuple[str, float]]


def _predict(
    trained: Trained, paths: list[pathlib.Path], count: int, console: Console
) -> tuple[list[tuple[pathlib.Path, _Named]], list[tuple[pathlib.Path, str]]]:
    logits = jax.jit(trained.logits)
    rows, refused = [], []
    for path in track(paths, description="classifying", console=console):
        try:
            with Image.open(path) as image:
                pixels = decode_centre(
                    image, size=trained.image_size, resize_size=trained.resize_size
                )
        except UNREADABLE as error:
            refused.append((path, str(error)))
            continue
        chances = np.asarray(jax.nn.softmax(logits(jnp.asarray(pixels[None])))[0])
        best = chances.argsort()[::-1][:count]
        rows.append((path, [(trained.classes[i], float(chances[i])) for i in best]))
    return rows, refused


if __name__ == "__main__":
    run(main, Prediction, doc=__doc__)
