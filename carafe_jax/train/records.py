"""Scalars and pictures of a run, as a tidy CSV, PNG files and for TensorBoard."""

import csv
import pathlib
from collections.abc import Mapping
from typing import TextIO

import numpy as np
import tensorboardX
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.errors import RefusedError, no_type_check

_COLUMNS: list[str] = ["step", "split", "name", "value"]


class Records:
    """Appends scalars to `scalars.csv` and to TensorBoard's event files.

    Pictures go to the folder `pictures`, a file for each evaluator, name and step, and
    to TensorBoard.

    When a run is resumed from an earlier step, the records of later ones are deleted.
    """

    def __init__(
        self, workdir: pathlib.Path, *, step: int, writes: bool = True
    ) -> None:
        """Open the records of a run at the step from which it is resumed.

        Args:
          workdir: Folder of the run.
          step: Records of later steps are deleted.
          writes: Whether anything is written; else another process writes.

        Raises:
          RefusedError: `scalars.csv` is damaged.
        """
        self._writes = writes
        self._pictures = workdir / "pictures"
        if not writes:
            return
        path = workdir / "scalars.csv"
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = _rows_until(step, file)
        self._file = path.open("w", newline="")
        self._csv = csv.DictWriter(self._file, _COLUMNS)
        self._csv.writeheader()
        self._csv.writerows(rows)
        self._file.flush()
        self._board = tensorboardX.SummaryWriter(
            str(workdir / "tensorboard"), purge_step=step + 1
        )

    def write(self, step: int, split: str, scalars: Mapping[str, float]) -> None:
        """Write scalars of a step; `split` is "train" or an evaluator's name."""
        if not self._writes:
            return
        for name, value in scalars.items():
            row = (step, split, name, float(value))
            self._csv.writerow(dict(zip(_COLUMNS, row, strict=True)))
            self._board.add_scalar(f"{split}/{name}", float(value), step)
        self._file.flush()

    @no_type_check
    def write_pictures(
        self, step: int, split: str, pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    ) -> None:
        """Write pictures of a step, RGB; `split` is an evaluator's name.

        Raises:
          RefusedError: A picture is no array of uint8 and (h, w, 3), or has a slash in
            its name.
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
            self._board.add_image(f"{split}/{name}", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Close the files."""
        if not self._writes:
            return
        self._file.close()
        self._board.close()


def _rows_until(step: int, file: TextIO) -> list[dict[str, str]]:
    """Return the rows of `scalars.csv` up to a step."""
    try:
        reader = csv.DictReader(file, strict=True)
        rows = list(reader)
        if rows and reader.fieldnames != _COLUMNS:
            raise ValueError(f"its columns are {reader.fieldnames}")
        for row in rows:
            # A row that is too long has its rest under None; a short one has None.
            if None in row or None in row.values():
                raise ValueError(f"it has the row {list(row.values())}")
            float(row["value"])
        return [row for row in rows if int(row["step"]) <= step]
    except (ValueError, csv.Error) as error:  # Of numbers and of UTF-8, too.
        raise RefusedError(
            f"{file.name} is damaged ({error}): delete or mend it."
        ) from error


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
            f"{subject} must be of uint8 and (h, w, 3), got {array.dtype} and "
            f"{array.shape}."
        )
    return array
