"""Scalars and pictures of a run, in a tidy CSV, PNG files and TensorBoard's files."""

import csv
import io
import os
import pathlib
from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.files import write_atomically
from carafe_jax.train.event_file import EventFile

_COLUMNS: list[str] = ["step", "split", "name", "value"]


class Records:
    """Appends scalars to `scalars.csv` and to TensorBoard's event files.

    Pictures go to the folder `pictures`, a file for each evaluator, name and step, and
    to TensorBoard.

    When a run is resumed from an earlier step, the records of later ones are deleted.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        step: int,
        repeated: Collection[str] = (),
        writes: bool = True,
    ) -> None:
        """Open the records of a run at the step from which it is resumed.

        Args:
          workdir: Folder of the run.
          step: Records of later steps are deleted.
          repeated: Names of the evaluators that evaluate `step` again; their scalars of
            it are deleted, too, but not from TensorBoard's file.
          writes: Whether this process writes; otherwise another process does.

        Raises:
          RefusedError: `scalars.csv` is damaged.
        """
        self._writes = writes
        self._pictures = workdir / "pictures"
        if not writes:
            return
        path = self._path = workdir / "scalars.csv"
        rows = [
            row
            for row in _rows_until(step, path)
            if int(row[0]) < step or row[1] not in repeated
        ]
        with write_atomically(path) as partial, partial.open("w", newline="") as file:
            csv.writer(file).writerows([_COLUMNS, *rows])
        self._file = path.open("ab", buffering=0)
        self._board = EventFile(workdir / "tensorboard", step=step + 1)

    def write(self, step: int, split: str, scalars: Mapping[str, float]) -> None:
        """Write scalars of a step; `split` is "train" or an evaluator's name."""
        if not self._writes:
            return
        rows = io.StringIO()
        csv.writer(rows).writerows(
            [step, split, name, float(value)] for name, value in scalars.items()
        )
        self._append(rows.getvalue().encode())
        for name, value in scalars.items():
            self._board.write_scalar(f"{split}/{name}", float(value), step=step)

    def _append(self, rows: bytes) -> None:
        """Append all rows or none: a truncated line would count as damaged."""
        size = os.fstat(self._file.fileno()).st_size
        try:
            while rows:
                rows = rows[self._file.write(rows) :]
        except OSError as error:
            self._file.truncate(size)
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    @no_type_check
    def write_pictures(
        self, step: int, split: str, pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    ) -> None:
        """Write pictures of a step, RGB; `split` is an evaluator's name.

        Raises:
          RefusedError: A picture is not a uint8 array of shape (h, w, 3), or its name
            has a slash.
        """
        arrays = {
            name: _checked(picture, name=name, split=split)
            for name, picture in pictures.items()
        }
        if not self._writes:
            return
        self._pictures.mkdir(exist_ok=True)
        for name, picture in arrays.items():
            file = f"{split}_{name}_{step:07d}.png"
            Image.fromarray(picture).save(self._pictures / file)
            self._board.write_picture(f"{split}/{name}", picture, step=step)

    def close(self) -> None:
        """Close the files."""
        if not self._writes:
            return
        self._file.close()
        self._board.close()


def _rows_until(step: int, path: pathlib.Path) -> list[list[str]]:
    """Return the rows of `scalars.csv` up to a step, without the header."""
    content = path.read_bytes() if path.exists() else b""
    try:
        text = content.decode("utf-8-sig")  # Excel writes a byte-order mark.
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _damaged(path, line, error) from error
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            _check_row(row, first=not rows)
            rows.append(row)
        if content and not content.endswith(b"\n"):
            raise ValueError("it is truncated")
    except (ValueError, csv.Error) as error:
        raise _damaged(path, reader.line_num, error) from error
    return [row for row in rows[1:] if int(row[0]) <= step]


def _check_row(row: list[str], *, first: bool) -> None:
    """Raise ValueError if a row does not have the columns of the file."""
    if first and row != _COLUMNS:
        raise ValueError(f"the columns must be {','.join(_COLUMNS)}")
    if len(row) != len(_COLUMNS):
        raise ValueError(f"it has {len(row)} of {len(_COLUMNS)} values")
    if not first:
        _ = int(row[0]), float(row[-1])


def _damaged(path: pathlib.Path, line: int, error: Exception) -> RefusedError:
    return RefusedError(
        f"{path} is damaged in line {line}: {error}. Delete that line and what is "
        "damaged after it, or the file: the run then continues without those records."
    )


@no_type_check
def _checked(
    picture: UInt8[np.ndarray, "h w 3"], *, name: str, split: str
) -> UInt8[np.ndarray, "h w 3"]:
    subject = f"The picture {name!r} of the evaluator {split!r}"
    if "/" in name:
        raise RefusedError(f"{subject} must have no slash in its name.")
    array = np.asarray(picture)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise RefusedError(
            f"{subject} must be a uint8 array of shape (h, w, 3), got {array.dtype} "
            f"of shape {array.shape}."
        )
    return array
