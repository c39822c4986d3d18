"""Quality of fills, picture by picture, and its means by the size of the hole."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float32
from rich.table import Table
from rich.text import Text

from carafe_jax.tasks.inpainting.quality import COLUMNS
from carafe_jax.texts import percent, printable

ALL = "all"
# Upper ends of the classes of holes, as fractions of a picture.
_ENDS = (0.1, 0.2, 0.3, 0.4, 1.0)


@dataclasses.dataclass(frozen=True)
class Measured:
    """Numbers of the same pictures, filled by several methods."""

    hole_fractions: Float32[np.ndarray, "n"]
    """Part of each picture that is hole, in (0, 1]."""
    quality: Mapping[str, Mapping[str, Float32[np.ndarray, "n"]]]
    """By method and by the names of `COLUMNS`."""

    @classmethod
    def concatenate(cls, pieces: Sequence["Measured"]) -> "Measured":
        """Put the pictures of several together."""
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
        """Average each number over all pictures."""
        return {
            method: {name: float(np.mean(values)) for name, values in numbers.items()}
            for method, numbers in self.quality.items()
        }

    def by_hole(self) -> Iterator[tuple[str, Bool[np.ndarray, "n"]]]:
        """Choose the pictures of each size of the hole that occurs."""
        low = 0.0
        for high in _ENDS:
            chosen = (low < self.hole_fractions) & (self.hole_fractions <= high)
            if chosen.any():
                yield f"{percent(low)} to {percent(high)}", chosen
            low = high

    def write_images(self, path: pathlib.Path) -> None:
        """Write a CSV with a row for each picture and method."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["picture", "hole_fraction", "method", *COLUMNS])
            for index, fraction in enumerate(self.hole_fractions):
                for method, numbers in self.quality.items():
                    values = (numbers[name][index] for name in COLUMNS)
                    writer.writerow([index, fraction, method, *values])

    def write_means(self, path: pathlib.Path) -> None:
        """Write a CSV with a row for each method and size of the hole."""
        every = (ALL, np.ones(self.hole_fractions.shape, bool))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["hole_fraction", "pictures", "method", *COLUMNS])
            for label, chosen in (every, *self.by_hole()):
                for method, numbers in self.quality.items():
                    values = (numbers[name][chosen].mean() for name in COLUMNS)
                    writer.writerow([label, int(chosen.sum()), method, *values])

    def draw_by_hole(self) -> Table:
        """Make a console table: a column for each size of the hole."""
        table = Table(
            title="PSNR of the hole (dB), by the hole's fraction of the picture"
        )
        table.add_column("method", overflow="fold")
        buckets = dict(self.by_hole())
        for label, chosen in buckets.items():
            table.add_column(f"{label}\nn = {chosen.sum()}", justify="right")
        for method, numbers in self.quality.items():
            psnr = numbers["hole_psnr"]
            cells = (f"{psnr[chosen].mean():.2f}" for chosen in buckets.values())
            table.add_row(Text(printable(method)), *cells)
        return table
