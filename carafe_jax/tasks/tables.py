"""Tables of results: a row for each method, as a CSV and on the console."""

import csv
import dataclasses
import pathlib
from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.texts import percent, printable

_STEPS = "steps"
Results = Mapping[str, Mapping[str, float]]
"""Values by method and by the name of their column."""


@dataclasses.dataclass(frozen=True)
class Column:
    """Format of a column of numbers."""

    title: str
    digits: int
    """Digits after the decimal point."""
    percent: bool = False
    """Whether the number is a fraction that is shown in percent."""

    def text(self, value: float) -> str:
        """Return the number in this format."""
        if self.percent:
            return percent(value, digits=self.digits)
        return f"{value:.{self.digits}f}"


def draw_table(
    results: Results, columns: Mapping[str, Column], *, title: str, label: str
) -> Table:
    """Return a console table with a row for each method.

    Args:
      results: Values by method and column.
      columns: Formats of the columns to show; those without values are left out.
      title: Title above the table.
      label: Title of the column of methods.
    """
    cells = {
        method: {
            name: column.text(row[name])
            for name, column in columns.items()
            if name in row
        }
        for method, row in results.items()
    }
    return draw_cells(cells, columns, title=title, label=label)


def draw_cells(
    cells: Mapping[str, Mapping[str, str]],
    columns: Mapping[str, Column],
    *,
    title: str,
    label: str,
) -> Table:
    """Return a console table of texts, with a row for each method.

    Args:
      cells: Texts by method and column.
      columns: Columns to show; those without texts are left out.
      title: Title above the table.
      label: Title of the column of methods.
    """
    table = Table(title=Text(printable(title)))
    table.add_column(label, overflow="fold")
    used = [name for name in columns if any(name in row for row in cells.values())]
    for name in used:
        table.add_column(columns[name].title, justify="right", overflow="fold")
    for method, row in cells.items():
        texts = (row.get(name, "") for name in used)
        table.add_row(Text(printable(method)), *texts)
    return table


def write_table(
    path: pathlib.Path, results: Results, *, steps: int | None = None
) -> None:
    """Write a CSV with a row for each method, atomically.

    Args:
      path: Path of the file.
      results: Values by method and column.
      steps: Steps after which the network was evaluated, a column of the file.
    """
    if steps is not None:
        results = {method: {**row, _STEPS: steps} for method, row in results.items()}
    names = list(dict.fromkeys(name for row in results.values() for name in row))
    with (
        write_atomically(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, ["method", *names])
        writer.writeheader()
        writer.writerows({"method": name, **row} for name, row in results.items())


def read_table(path: pathlib.Path) -> dict[str, dict[str, float]]:
    """Return the values that `write_table` wrote, without the steps.

    Raises:
      RefusedError: The file is damaged.
    """
    rows = _read(path)
    return {
        method: {name: value for name, value in row.items() if name != _STEPS}
        for method, row in rows.items()
    }


def read_steps(path: pathlib.Path) -> int | None:
    """Return the steps after which a network was evaluated; None if not stored.

    Raises:
      RefusedError: The file is damaged.
    """
    steps = next(iter(_read(path).values())).get(_STEPS)
    if steps is None:
        return None
    if not steps.is_integer():
        raise RefusedError(_damaged(path))
    return int(steps)


def _read(path: pathlib.Path) -> dict[str, dict[str, float]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
        # Tables of classification had no column of methods before version 0.2.
        results = {
            row.pop("method", "network"): {name: float(x) for name, x in row.items()}
            for row in rows
        }
    except (ValueError, TypeError, AttributeError, csv.Error) as error:
        raise RefusedError(_damaged(path)) from error
    if not all(results.values()) or not results:
        raise RefusedError(_damaged(path))
    return results


def _damaged(path: pathlib.Path) -> str:
    return (
        f"{path} must be a table of numbers, and is damaged. Delete it: the "
        "same command then evaluates the network again."
    )
