"""Predict the most likely classes of photographs.

Shows: a table of the first photographs; all predictions are in the CSV.
Example: carafe-jax classify photographs/ --model runs/classification/default
"""

import contextlib
import csv
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Annotated, NoReturn

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carafe_jax.arguments import check_count
from carafe_jax.cli.console import run
from carafe_jax.cli.progress import tracked
from carafe_jax.data import UnreadableImageError, list_images
from carafe_jax.errors import RefusedError
from carafe_jax.files import check_new, is_same_file, write_atomically
from carafe_jax.tasks.classification import load
from carafe_jax.tasks.classification.prediction import Prediction
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.texts import counted, percent, printable
from carafe_jax.train import CheckpointChoice

_SHOWN = 50  # Images in the table on the console.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classify:
    """Photographs, and a trained classifier."""

    images: Annotated[
        tyro.conf.Positional[tuple[pathlib.Path, ...]],
        tyro.conf.arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="(required)"),
    ]
    """Image files, and folders, which are searched recursively."""
    model: pathlib.Path
    """Folder of the run that trained the network."""
    which: CheckpointChoice = "best"
    """Checkpoint of the run: the best by top-1, or the last."""
    classes: int = 5
    """Number of classes per image."""
    batch_size: int = 16
    """Images per batch."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))] = pathlib.Path(
        "predictions.csv"
    )
    """CSV file to write."""
    overwrite: bool = False
    """Overwrite an existing file, which is an error otherwise. Ctrl-C leaves a new file
    with the predictions made so far, and an existing one unchanged."""

    def __post_init__(self) -> None:
        check_count("classes", self.classes)
        check_count("batch_size", self.batch_size)
        if not self.images:
            raise RefusedError("`images` must name at least one file or folder.")


def run_subcommand(args: list[str]) -> NoReturn:
    """Run the subcommand with its arguments, and exit."""
    run(main, Classify, doc=__doc__, program="carafe-jax classify", args=args)


def main(config: Classify, console: Console) -> int:
    """Write the classes of every image to a CSV; list images that cannot be read."""
    check_new("output", config.output, overwrite=config.overwrite)
    paths = [path for given in config.images for path in list_images(given)]
    if any(is_same_file(config.output, path) for path in paths):
        raise RefusedError(
            "`output` must be another file than the images, got "
            f"{str(config.output)!r}."
        )
    with loading(console, config.model):
        trained = load(config.model, which=config.which)
    shown, unreadable = _empty_table(len(paths)), 0
    predictions = _Predictions()
    try:
        with (
            tracked(paths, "classifying", total=len(paths), console=console) as given,
            predictions.written_to(config.output),
        ):
            outcomes = trained.classify_all(
                given, count=config.classes, batch_size=config.batch_size
            )
            for path, outcome in zip(paths, outcomes, strict=True):
                name = printable(path)
                if isinstance(outcome, UnreadableImageError):
                    unreadable += 1
                    print_line(console, f"Unreadable: {name} ({outcome.reason})")
                    continue
                predictions.add(name, outcome)
                if shown.row_count < _SHOWN:
                    # Text: rich would read brackets in names as markup.
                    shown.add_row(Text(name), Text(_prediction_text(outcome)))
    except KeyboardInterrupt:
        print_line(console, _interrupted(predictions, paths, config))
        raise
    if shown.row_count:
        console.print(shown)
    named = len(paths) - unreadable
    summary = f"Table of {counted(named, 'image')}: {config.output}"
    if unreadable:
        summary += f"; unreadable: {unreadable}"
    print_line(console, summary)
    return 1 if unreadable else 0


class _Predictions:
    """Writes the predictions of images to a CSV, as they are made."""

    def __init__(self) -> None:
        self.written = 0
        """Number of images in the file, once it is there."""
        self._added = 0

    @contextlib.contextmanager
    def written_to(self, path: pathlib.Path) -> Iterator[None]:
        """Write the images of the block; the file is there once the block ends.

        So it is after Ctrl-C, with the images until then, if there are any: they may
        have taken hours. A file that exists is replaced by all images alone.
        """
        interruption, is_new = None, not path.exists()
        with (
            write_atomically(path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            self._writer = csv.writer(file)
            self._writer.writerow(["image", "rank", "class", "probability"])
            try:
                yield
            except KeyboardInterrupt as error:
                if not self._added or not is_new:
                    raise
                interruption = error
        self.written = self._added
        if interruption is not None:
            raise interruption

    def add(self, image: str, prediction: Prediction) -> None:
        rows = [
            [image, rank, printable(label), probability]
            for rank, (label, probability) in enumerate(prediction, 1)
        ]
        # Not from a generator: Ctrl-C could leave out the last rows of the image.
        self._writer.writerows(rows)
        self._added += 1


def _interrupted(
    predictions: _Predictions, paths: Sequence[pathlib.Path], config: Classify
) -> str:
    images = counted(len(paths), "image")
    if not predictions.written:
        return f"Stopped before the predictions of the {images} were written."
    return (
        f"Classified {predictions.written:,} of {images}, written to {config.output}. "
        "Repeat the command with --overwrite to classify all of them."
    )


def _empty_table(images: int) -> Table:
    title = f"The first {_SHOWN} of {counted(images, 'image')}"
    table = Table(title=title if images > _SHOWN else None)
    # Folded, not cut: long paths often differ only at their ends.
    table.add_column("image", overflow="fold")
    table.add_column("classes", overflow="fold")
    return table


def _prediction_text(prediction: Prediction) -> str:
    return ", ".join(
        f"{printable(label)} {percent(probability, digits=1)}"
        for label, probability in prediction
    )
