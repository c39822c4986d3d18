"""Tables of a comparison: means over seeds, on the console or as Markdown."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from rich.console import Group

from carafe_jax.tasks.comparison_rows import PARAMETERS, Row
from carafe_jax.tasks.tables import Column, draw_cells

TableFormat = Literal["console", "markdown"]
Cells = dict[str, dict[str, tuple[str, ...]]]
"""Mean, and standard deviation if any, by the method's label and the column."""
_RUN_COLUMNS = {
    PARAMETERS: Column("parameters", 0),
    "seeds": Column("seeds", 0),
    "steps": Column("steps", 0),
    "seconds": Column("seconds", 0),
    "images_per_second": Column("images/s", 0),
}


def draw_comparison(
    rows: Sequence[Row],
    labels: Mapping[str, str],
    columns: Mapping[str, Column],
    *,
    title: str,
) -> Group:
    """Return console tables of results and of training, with a row for each method.

    One table of all columns would not fit a terminal of 80 columns.

    Args:
      rows: Rows of all seeds.
      labels: Names of the trained methods, in the order of the table.
      columns: Columns of the results.
      title: Title above the tables.
    """
    cells = {
        label: {name: "\n± ".join(texts) for name, texts in found.items()}
        for label, found in _cells(rows, labels, columns).items()
    }
    trained = {label: found for label, found in cells.items() if "seeds" in found}
    return Group(
        draw_cells(cells, columns, title=title, label="method"),
        draw_cells(trained, _RUN_COLUMNS, title="training", label="method"),
    )


def markdown_of(
    rows: Sequence[Row], labels: Mapping[str, str], columns: Mapping[str, Column]
) -> list[str]:
    """Return the lines of a Markdown table of all columns.

    Args:
      rows: Rows of all seeds.
      labels: Names of the trained methods, in the order of the table.
      columns: Columns of the results.
    """
    cells, columns = _cells(rows, labels, columns), {**columns, **_RUN_COLUMNS}
    used = [name for name in columns if any(name in row for row in cells.values())]
    # The console has "PSNR (dB)" below "hole".
    titles = (", ".join(reversed(columns[x].title.split("\n"))) for x in used)
    return [
        _line(["", *titles]),
        "|" + "---|" * (1 + len(used)),
        *(
            _line([label, *(" ± ".join(found.get(name, ())) for name in used)])
            for label, found in cells.items()
        ),
    ]


def _line(cells: Sequence[str]) -> str:
    texts = (x.replace("|", "\\|") for x in cells)
    return "".join(f"| {x} " if x else "| " for x in texts) + "|"


def _cells(
    rows: Sequence[Row], labels: Mapping[str, str], columns: Mapping[str, Column]
) -> Cells:
    untrained = [row.method for row in rows if row.seed is None]
    names = {**{name: name for name in untrained}, **labels}
    of_methods = {x: [row for row in rows if row.method == x] for x in names}
    return {
        names[method]: _cells_of(own, columns)
        for method, own in of_methods.items()
        if own
    }


def _cells_of(
    rows: Sequence[Row], columns: Mapping[str, Column]
) -> dict[str, tuple[str, ...]]:
    cells: dict[str, tuple[str, ...]] = {}
    for name, column in columns.items():
        values = [row.numbers[name] for row in rows if name in row.numbers]
        # A mean over some of the seeds would not be comparable.
        if len(values) == len(rows):
            cells[name] = _mean_and_deviation(values, column)
    if rows[0].seed is None:
        return cells
    cells["seeds"] = (str(len(rows)),)
    measured = {
        PARAMETERS: [row.numbers.get(PARAMETERS) for row in rows],
        "steps": [row.steps for row in rows],
        "seconds": [row.seconds for row in rows],
        "images_per_second": [row.images_per_second for row in rows],
    }
    for name, values in measured.items():
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            cells[name] = (_RUN_COLUMNS[name].text(statistics.fmean(known)),)
    return cells


def _mean_and_deviation(values: Sequence[float], column: Column) -> tuple[str, ...]:
    mean = column.text(statistics.mean(values))
    if len(values) == 1:
        return (mean,)
    return mean, column.text(statistics.stdev(values))
