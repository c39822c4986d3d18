"""Tables of results: a row for each method, as a CSV and on the console."""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

Results = Mapping[str, Mapping[str, float]]
"""Numbers by method and by the name of their column."""


@dataclasses.dataclass(frozen=True)
class Column:
    """Format of a column of numbers."""

    title: str
    digits: int
    """After the decimal point."""
    percent: bool = False
    """Whether the number is a fraction that is shown in percent."""

    def text(self, value: float) -> str:
        """Return the number as it is shown."""
        return f"{value:.{self.digits}{'%' if self.percent else 'f'}}"


def draw_table(
    results: Results, columns: Mapping[str, Column], *, title: str, label: str
) -> Table:
    """Return a console table with a row for each method.

    Args:
      results: Numbers by method and column.
      columns: How each is shown; others are left out.
      title: Above the table.
      label: Title of the column of methods.
    """
    table = empty_table(columns, title=title, label=label)
    for method, row in results.items():
        cells = (column.text(row[name]) for name, column in columns.items())
        table.add_row(Text(method), *cells)
    return table


def empty_table(columns: Mapping[str, Column], *, title: str, label: str) -> Table:
    """Return a console table without rows."""
    table = Table(title=Text(title))
    table.add_column(label)
    for column in columns.values():
        table.add_column(column.title, justify="right")
    return table


def write_table(path: pathlib.Path, results: Results) -> None:
    """Write a CSV with a row for each method; whole or not at all."""
    partial = path.with_suffix(".partial")
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["method", *names])
        writer.writeheader()
        writer.writerows({"method": name, **row} for name, row in results.items())
    partial.replace(path)


def read_table(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """Return what `write_table` wrote."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        # Tables of classification had no column of methods before version 0.2.
        row.pop("method", "network"): {name: float(x) for name, x in row.items()}
        for row in rows
    }
