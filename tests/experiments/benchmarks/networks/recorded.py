"""Recorded numbers of the benchmarks."""

import csv
import pathlib

import experiments


def recorded_columns(path: str) -> list[str]:
    """Return the columns of a file of the recorded results."""
    file = pathlib.Path(experiments.__file__).parent / "results" / path
    with file.open(newline="") as lines:
        return next(csv.reader(lines))
