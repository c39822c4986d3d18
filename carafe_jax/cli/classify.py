"""Name the likeliest classes of photographs.

Shows: the likeliest classes of each photograph, as a table and a CSV.
Example: carafe-jax classify photographs/ --model runs/classification
"""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, NoReturn

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from carafe_jax.arguments import check_count
from carafe_jax.cli.console import run
from carafe_jax.data import list_images
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification import load
from carafe_jax.tasks.classification.prediction import Prediction
from carafe_jax.train import CheckpointChoice


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classify:
    """Photographs, and a trained classifier."""

    images: Annotated[
        tyro.conf.Positional[tuple[pathlib.Path, ...]], tyro.conf.arg(metavar="IMAGE")
    ]
    """Image files, and folders of them in any nesting."""
    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Its checkpoint: the best by top-1, or the last."""
    classes: int = 5
    """Number of classes per image."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))] = pathlib.Path(
        "predictions.csv"
    )
    """CSV file to write."""

    def __post_init__(self) -> None:
        check_count("classes", self.classes)
        if self.output.is_dir():
            raise RefusedError(
                f"`output` must be a file, got the folder {str(self.output)!r}."
            )
        if not self.images:
            raise RefusedError("`images` must name one file or folder at least.")


def run_verb(args: list[str]) -> NoReturn:
    """Run the verb with its arguments, and exit."""
    run(main, Classify, doc=__doc__, program="carafe-jax classify", args=args)


def main(config: Classify, console: Console) -> int:
    """Classify every image; print and write the table. Unreadable ones are named."""
    config.output.parent.mkdir(parents=True, exist_ok=True)
    paths = [path for given in config.images for path in list_images(given)]
    with console.status(f"loading {config.model}"):
        trained = load(config.model, which=config.which)
    predictions: dict[pathlib.Path, Prediction] = {}
    unreadable: dict[pathlib.Path, str] = {}
    for path in track(paths, description="classifying", console=console):
        try:
            pixels = trained.read(path)
        except RefusedError as error:
            unreadable[path] = str(error)
        else:
            predictions[path] = trained.classify(pixels, count=config.classes)
    console.print(_draw(predictions))
    for path, reason in unreadable.items():
        console.print(Text(f"Unreadable: {path} ({reason})"), soft_wrap=True)
    _write(config.output, predictions)
    console.print(Text(f"Table: {config.output}"), soft_wrap=True)
    return 1 if unreadable else 0


def _draw(predictions: Mapping[pathlib.Path, Prediction]) -> Table:
    table = Table()
    table.add_column("image")
    table.add_column("classes")
    for path, named in predictions.items():
        # As they are: rich would take brackets in names for markup.
        likeliest = ", ".join(f"{name} {p:.1%}" for name, p in named)
        table.add_row(Text(str(path)), Text(likeliest))
    return table


def _write(path: pathlib.Path, predictions: Mapping[pathlib.Path, Prediction]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "rank", "class", "probability"])
        for image, named in predictions.items():
            writer.writerows([image, i, *pair] for i, pair in enumerate(named, 1))
