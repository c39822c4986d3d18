"""Quality of fills per image, and its means by the size of the hole."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32
from rich.table import Table
from rich.text import Text

from carafe_jax.tasks.inpainting.hole_kinds import HoleKind
from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.texts import percent, printable

ALL = "all"
# Upper ends of the bins of hole sizes, as fractions of an image.
_ENDS = (0.1, 0.2, 0.3, 0.4, 1.0)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Metrics of the same images, filled by several methods."""

    hole_fractions: Float32[np.ndarray, "n"]
    """Fraction of each image that is hole, in (0, 1]."""
    quality: Mapping[str, Mapping[str, Float32[np.ndarray, "n"]]]
    """Metrics by method and by the names of `COLUMNS`."""

    @classmethod
    def concatenate(cls, pieces: Sequence["Measured"]) -> "Measured":
        """Return the images of all pieces in one."""
        return cls(
            np.concatenate([piece.hole_fractions for piece in pieces]),
            {
                method: {
                    name: np.concatenate([p.quality[method][name] for p in pieces])
                    for name in COLUMNS
                }
                for method in pieces[0].quality
            },
        )

    def means(self) -> dict[str, dict[str, float]]:
        """Return the mean of each metric over all images, by method."""
        return {
            method: {name: float(np.mean(values)) for name, values in numbers.items()}
            for method, numbers in self.quality.items()
        }

    def by_hole(self) -> Iterator[tuple[str, Bool[np.ndarray, "n"]]]:
        """Yield the label and the images of each bin of hole sizes that has any."""
        low = 0.0
        for high in _ENDS:
            chosen = (low < self.hole_fractions) & (self.hole_fractions <= high)
            if chosen.any():
                yield f"{percent(low)} to {percent(high)}", chosen
            low = high

    def draw_by_hole(self, number: str) -> Table:
        """Return a console table of a metric, with a column for each bin.

        Args:
          number: Name of the metric, one of `COLUMNS`.
        """
        column = COLUMNS[number]
        title = " ".join(column.title.split())
        table = Table(title=f"{title}, by the hole's fraction of the image")
        table.add_column("method", overflow="fold")
        buckets = dict(self.by_hole())
        for label, chosen in buckets.items():
            table.add_column(f"{label}\nn = {chosen.sum()}", justify="right")
        for method, numbers in self.quality.items():
            values = numbers[number]
            means = (float(values[chosen].mean()) for chosen in buckets.values())
            table.add_row(Text(printable(method)), *map(column.text, means))
        return table


def write_images(path: pathlib.Path, measured: Mapping[HoleKind, Measured]) -> None:
    """Write a CSV with a row for each image and method.

    Args:
      path: Path of the file.
      measured: Metrics by kind of hole.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["holes", "picture", "hole_fraction", "method", *COLUMNS])
        for kind, pictures in measured.items():
            for index, fraction in enumerate(pictures.hole_fractions):
                for method, numbers in pictures.quality.items():
                    values = (numbers[name][index] for name in COLUMNS)
                    writer.writerow([kind, index, fraction, method, *values])


def write_means(path: pathlib.Path, measured: Mapping[HoleKind, Measured]) -> None:
    """Write a CSV of means, with a row for each method and bin of hole sizes.

    Args:
      path: Path of the file.
      measured: Metrics by kind of hole.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["holes", "hole_fraction", "pictures", "method", *COLUMNS])
        for kind, pictures in measured.items():
            every = (ALL, np.ones(pictures.hole_fractions.shape, bool))
            for label, chosen in (every, *pictures.by_hole()):
                for method, numbers in pictures.quality.items():
                    values = (numbers[name][chosen].mean() for name in COLUMNS)
                    writer.writerow([kind, label, chosen.sum(), method, *values])
