"""Objects of a split as columns, from which rows are dropped one reason at a time."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Int64

from carafe_jax.data.sources.findings import EXAMPLES, Findings, Reason
from carafe_jax.data.sources.treatments import CROSSING, NO_AREA, OUTSIDE, THIN


class ObjectColumns:
    """Arrays of equal length by name; a row is an object."""

    def __init__(
        self,
        columns: dict[str, np.ndarray],
        *,
        findings: Findings,
        describe: Callable[["ObjectColumns", int], str],
    ) -> None:
        """Store the columns.

        Args:
          columns: Columns by name.
          findings: What is found is added.
          describe: Function that returns the name of a row, for examples.
        """
        self._columns, self._findings = columns, findings
        self._describe = describe

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> np.ndarray:
        return self._columns[name]

    def __setitem__(self, name: str, column: np.ndarray) -> None:
        self._columns[name] = column

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def choose(self, rows: Bool[np.ndarray, "g"] | Int64[np.ndarray, "n"]) -> None:
        """Keep some rows, or put them into another order."""
        self._columns = {name: column[rows] for name, column in self._columns.items()}

    def report(
        self,
        reason: Reason,
        found: Bool[np.ndarray, "g"],
        *,
        counts: Int64[np.ndarray, "g"] | None = None,
    ) -> None:
        """Add rows to the findings.

        Args:
          reason: What was found.
          found: The rows where it was.
          counts: How often in each row (default: once).
        """
        rows = np.flatnonzero(found)
        if len(rows):
            count = len(rows) if counts is None else int(counts[rows].sum())
            examples = [self._describe(self, row) for row in rows[:EXAMPLES].tolist()]
            self._findings.add(reason, examples, count=count)

    def drop(self, reason: Reason, found: Bool[np.ndarray, "g"]) -> None:
        """Add rows to the findings, and drop them."""
        self.report(reason, found)
        if found.any():
            self.choose(~found)


def all_of(holds: Bool[np.ndarray, "g n"]) -> Bool[np.ndarray, "g"]:
    """Return whether a condition holds for all columns of each row."""
    return np.asarray(holds.all(1))


def check_boxes(objects: ObjectColumns) -> None:
    """Drop objects whose box has no area or is outside of its image; report others.

    Args:
      objects: Columns `bbox` (x, y, width, height) and `size` (height and width of the
        image).
    """
    objects.drop(NO_AREA, ~all_of(objects["bbox"][:, 2:] > 0))
    start, end, size = _extents(objects)
    overlap = np.minimum(end, size) - np.maximum(start, 0)
    objects.drop(OUTSIDE, ~all_of(overlap > 0))
    start, end, size = _extents(objects)
    objects.report(CROSSING, ~all_of((start >= -1) & (end <= size + 1)))
    objects.report(THIN, ~all_of(objects["bbox"][:, 2:] >= 1))


def _extents(objects: ObjectColumns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of both ends of the boxes, and width and height of the images."""
    start = objects["bbox"][:, :2]
    return start, start + objects["bbox"][:, 2:], objects["size"][:, ::-1]
