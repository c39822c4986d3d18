"""The rows of a comparison's CSV: one per finished run."""

import csv
import dataclasses
import io
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from carafe_jax.arguments import check_not_negative, check_seed
from carafe_jax.errors import RefusedError
from carafe_jax.files import write_atomically
from carafe_jax.tasks.comparison_configurations import configuration_of, hash_of
from carafe_jax.tasks.run_config import RunConfig
from carafe_jax.tasks.tables import read_steps, read_table
from carafe_jax.train import read_provenance

_NOT_NEGATIVE = ("steps", "batch_size", "seconds", "images_per_second")
PARAMETERS = "parameters"
_MACHINE = ("device", "cores", "jax", "python")
_TRAIN = "Restore it, or delete the folder of the run to train it again."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """Results of a run, or of a method without training, such as a classic fill."""

    method: str
    """Name of the method, as in the names of its folders."""
    network: str
    """Name of the network in the run's own table."""
    seed: int | None = None
    """Seed of the run. It and the next four fields are None without training."""
    steps: int | None = None
    batch_size: int | None = None
    seconds: float | None = None
    """Duration of training over all sessions, with compilation and evaluations."""
    images_per_second: float | None = None
    """Median of the logged training speeds, without compilation and evaluations."""
    numbers: Mapping[str, float]
    """Metrics on the test images, by the name of their column; for a trained method
    also "parameters", the number of those of all networks, where it is known."""
    device: str
    """Device; this and the next three fields join the values of several sessions."""
    cores: str
    jax: str
    python: str
    date: str
    """Start of the last session."""
    configuration: str
    """Short hash of the run's configuration, without the seed."""
    line: int | None = dataclasses.field(default=None, compare=False)
    """Line number in the file that it was read from."""


_FIELDS = [x.name for x in dataclasses.fields(Row) if x.name != "line"]
_BEFORE = _FIELDS[: _FIELDS.index("numbers")]
_AFTER = _FIELDS[_FIELDS.index("numbers") + 1 :]


def rows_of(run: RunConfig, *, method: str) -> list[Row]:
    """Return the row of a finished run, then those of the methods without training.

    Args:
      run: Run whose folder holds the table, the provenance and the scalars.
      method: Name of the method.

    Raises:
      RefusedError: One of these files is damaged, or the table or the scalars are
        missing.
    """
    provenance = read_provenance(run.workdir)
    table, steps = _measured(run)
    origin: dict[str, Any] = _machine(provenance.get("sessions", []))
    origin["configuration"] = hash_of(configuration_of(run))
    trained = Row(
        method=method,
        network=run.network_name,
        seed=run.data.seed,
        steps=provenance.get("steps") if steps is None else steps,
        batch_size=run.data.batch_size,
        seconds=provenance.get("seconds"),
        images_per_second=_speed(run.workdir / "scalars.csv"),
        numbers={**table.pop(run.network_name), **_parameters(provenance)},
        **origin,
    )
    others = (
        Row(method=name, network=name, numbers=numbers, **origin)
        for name, numbers in table.items()
    )
    return [trained, *others]


def _measured(run: RunConfig) -> tuple[dict[str, dict[str, float]], int | None]:
    """Return the run's table, checked to have a row of its network, and its steps."""
    path, again = run.workdir / "table.csv", "the same command evaluates the network"
    if not path.exists():
        raise RefusedError(f"{path} must exist, and is missing: {again} again.")
    table = read_table(path)
    if run.network_name not in table:
        raise RefusedError(
            f"{path} must have a row of {run.network_name!r}, got {', '.join(table)}. "
            f"Without this file, {again} again."
        )
    return table, read_steps(path)


def _parameters(provenance: Mapping[str, Any]) -> dict[str, float]:
    """Return the number of parameters; none for a run that did not store it."""
    found = provenance.get(PARAMETERS)
    return {} if found is None else {PARAMETERS: float(found)}


def _machine(sessions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    found: list[Any] = [x.get("machine") for x in sessions]
    machines: list[dict[str, Any]] = [x for x in found if isinstance(x, dict)]
    texts = {
        name: "; ".join(dict.fromkeys(str(x[name]) for x in machines if name in x))
        for name in _MACHINE
    }
    return {**texts, "date": str(sessions[-1].get("began", "")) if sessions else ""}


def _speed(path: pathlib.Path) -> float | None:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            speeds = [
                float(row["value"])
                for row in csv.DictReader(file, strict=True)
                if row["name"] == "images_per_second"
            ]
    except FileNotFoundError as error:
        raise RefusedError(f"{path} must exist, and is missing. {_TRAIN}") from error
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        rule = "hold the scalars of a run, and is damaged"
        raise RefusedError(f"{path} must {rule}: {error!r}. {_TRAIN}") from error
    return statistics.median(speeds) if speeds else None


def write_rows(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Write a CSV with a line for each row, atomically.

    Args:
      path: Path of the file.
      rows: Rows, in the order of the lines.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.numbers))
    with (
        write_atomically(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [*_BEFORE, *names, *_AFTER])
        writer.writeheader()
        for row in rows:
            own = {name: getattr(row, name) for name in (*_BEFORE, *_AFTER)}
            writer.writerow({**own, **row.numbers})


def read_rows(path: pathlib.Path) -> list[Row]:
    """Return the rows that `write_rows` wrote; none if the file is missing.

    Raises:
      RefusedError: The file is damaged; the message names the line.
    """
    if not path.exists():
        return []
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        found = [(lines.line_num, cells) for cells in lines if cells]
    except csv.Error as error:
        rule = f"be valid CSV, got: {error}"
        raise damaged(path, lines.line_num, rule) from error
    (_, header), *rest = found or [(1, [])]
    names = _names_of_numbers(path, header)
    return [_row(path, line, header, cells, names=names) for line, cells in rest]


def damaged(path: pathlib.Path, line: int | None, rule: str) -> RefusedError:
    """Return the error for an invalid line of a comparison's file.

    Args:
      path: Path of the file.
      line: Line number, from 1 on.
      rule: Rule and value, as they follow "must".
    """
    return RefusedError(
        f"{path}, line {line}: must {rule}. Fix or delete the line, or give another "
        "`results` to start another table."
    )


def _text(path: pathlib.Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")  # Excel writes a byte order mark.
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise damaged(path, line, f"be UTF-8, got: {error}") from error


def _names_of_numbers(path: pathlib.Path, header: Sequence[str]) -> list[str]:
    names = list(header[len(_BEFORE) : len(header) - len(_AFTER)])
    if [*header] != [*_BEFORE, *names, *_AFTER] or len({*header}) < len(header):
        rule = (
            f"name the columns {', '.join(_BEFORE)}, those of the numbers, and "
            f"{', '.join(_AFTER)}, got {', '.join(header) or 'nothing'}"
        )
        raise damaged(path, 1, rule)
    return names


def _row(
    path: pathlib.Path,
    line: int,
    header: Sequence[str],
    cells: Sequence[str],
    *,
    names: Sequence[str],
) -> Row:
    if len(cells) != len(header):
        rule = f"have {len(header)} cells, got {len(cells)}"
        raise damaged(path, line, rule)
    texts = dict(zip(header, cells, strict=True))

    def number(name: str, kind: type[Any], words: str) -> Any:
        try:
            return kind(texts[name]) if texts[name] else None
        except ValueError:
            rule = f"have {words} as its `{name}`, got {texts[name]!r}"
            raise damaged(path, line, rule) from None

    own: dict[str, Any] = {name: texts[name] for name in (*_BEFORE, *_AFTER)}
    for name in ("seed", "steps", "batch_size"):
        own[name] = number(name, int, "an integer")
    for name in ("seconds", "images_per_second"):
        own[name] = number(name, float, "a number")
    _check_ranges(path, line, own)
    numbers = {name: number(name, float, "a number") for name in names if texts[name]}
    return Row(**own, numbers=numbers, line=line)


def _check_ranges(path: pathlib.Path, line: int, own: Mapping[str, Any]) -> None:
    """Raise if a number is out of range."""
    checks = {"seed": check_seed} | dict.fromkeys(_NOT_NEGATIVE, check_not_negative)
    for name, check_number in checks.items():
        try:
            if own[name] is not None:
                check_number(name, own[name])
        except RefusedError as error:
            rule = f"hold numbers of a run: {str(error).rstrip('.')}"
            raise damaged(path, line, rule) from None
