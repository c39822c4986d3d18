"""The results file of a comparison: rows with one configuration per method."""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from carafe_jax.errors import RefusedError
from carafe_jax.files import locked
from carafe_jax.tasks.comparison_configurations import (
    Configuration,
    add_configuration,
    configuration_of,
    differences,
    read_configurations,
)
from carafe_jax.tasks.comparison_rows import (
    Row,
    damaged,
    read_rows,
    rows_of,
    write_rows,
)
from carafe_jax.tasks.run_config import RunConfig

_TOLERANCE = 1e-3  # Relative; machines round the same fill differently.


@dataclasses.dataclass(frozen=True)
class ComparisonFile:
    """A CSV of rows, and a JSON file of the same name with their configurations."""

    path: pathlib.Path
    """Path of the CSV."""
    runs: Mapping[str, RunConfig]
    """Run of each method, by its name. Seeds are ignored."""

    def read(self) -> list[Row]:
        """Return the rows, after checking that they belong together.

        Raises:
          RefusedError: A file is damaged; or a row has an unknown method, another
            configuration or other data, or repeats the seed of another row.
        """
        rows = read_rows(self.path)
        stored = read_configurations(self._configurations) if rows else {}
        for row in rows:
            self._check(row, stored)
        self._check_together(rows)
        return rows

    def add(self, run: RunConfig, *, method: str) -> None:
        """Write the rows of a finished run, under a lock shared by all processes.

        Raises:
          RefusedError: With the rows of the run, the checks of `read` fail; or a file
            of the run is missing or damaged. Nothing is written.
        """
        made = rows_of(run, method=method)
        with locked(self.path):
            self._add(made, configuration_of(run))

    def _add(self, made: Sequence[Row], configuration: Configuration) -> None:
        rows, (_, *others) = self.read(), made
        self._check_same_data(rows, others)
        known = {(row.method, row.seed) for row in rows}
        new = [x for x in made if (x.method, x.seed) not in known]
        self._check_together([*rows, *new])
        add_configuration(self._configurations, configuration)
        write_rows(self.path, [*rows, *new])

    @property
    def _configurations(self) -> pathlib.Path:
        return self.path.with_suffix(".json")

    def _check(self, row: Row, stored: Mapping[str, Configuration]) -> None:
        """Raise if a row has another configuration than this comparison."""
        if row.seed is not None and row.method not in self.runs:
            rule = f"have as its `method` one of {', '.join(self.runs)}"
            raise damaged(self.path, row.line, f"{rule}, got {row.method!r}")
        if row.configuration not in stored:
            rule = (
                "have as its `configuration` the hash of one in "
                f"{self._configurations}, got {row.configuration!r}"
            )
            raise damaged(self.path, row.line, rule)
        configuration = stored[row.configuration]
        if row.seed is None:
            # Without training, only the data have an effect.
            found = differences(configuration, next(iter(self.runs.values())))
            found = {k: v for k, v in found.items() if k.startswith("data.")}
        else:
            found = differences(configuration, self.runs[row.method])
        if found:
            raise RefusedError(
                f"{self.path}, line {row.line}: the row of {row.method!r} was made "
                f"with another configuration: {'; '.join(found.values())}. Use the "
                "same values to continue this table, or another `results` to start "
                "another one."
            )

    def _check_together(self, rows: Iterable[Row]) -> None:
        """Raise if a seed occurs twice, or runs of a method differ in length.

        The same number of epochs has other steps only where the data differ.
        """
        lines: dict[tuple[str, int | None], int | None] = {}
        first: dict[str, Row] = {}
        for row in rows:
            key = (row.method, row.seed)
            if key in lines:
                seed = "" if row.seed is None else f", seed {row.seed},"
                rule = f"not repeat line {lines[key]}, got {row.method!r}{seed} again"
                raise damaged(self.path, row.line, rule)
            lines[key] = row.line
            before = first.setdefault(row.method, row)
            if before.steps != row.steps:
                raise self._other_data_error(
                    before, f"{before.steps} steps of {row.method!r}", row.steps
                )

    def _check_same_data(self, rows: Iterable[Row], others: Sequence[Row]) -> None:
        """Raise if a run's classic fills have other results than those of the rows."""
        now = {row.method: row.numbers for row in others}
        for row in rows:
            if row.seed is not None or row.method not in now:
                continue
            for name, value in row.numbers.items():
                found = now[row.method].get(name, value)
                if not math.isclose(found, value, rel_tol=_TOLERANCE):
                    raise self._other_data_error(
                        row,
                        f"{value:.5g} as `{name}` of {row.method!r}",
                        f"{found:.5g}",
                    )

    def _other_data_error(self, row: Row, stored: str, now: object) -> RefusedError:
        return RefusedError(
            f"{self.path}, line {row.line}: the row has {stored}, and a run with the "
            f"same configuration has {now}: they were not made with the same images. "
            "Use the source of that row, or another `results` to start another table."
        )
