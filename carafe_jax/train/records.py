"""Scalars and pictures of a run, as a tidy CSV, PNG files and for TensorBoard."""

import csv
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorboardX
from jaxtyping import UInt8
from PIL import Image

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
        """
        self._writes = writes
        self._pictures = workdir / "pictures"
        if not writes:
            return
        path = workdir / "scalars.csv"
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
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

    def write_pictures(
        self, step: int, split: str, pictures: Mapping[str, UInt8[np.ndarray, "h w 3"]]
    ) -> None:
        """Write pictures of a step, RGB; `split` is an evaluator's name."""
        if not self._writes:
            return
        self._pictures.mkdir(exist_ok=True)
        for name, picture in pictures.items():
            file = f"{split}_{name}_{step:07d}.png"
            Image.fromarray(picture).save(self._pictures / file)
            self._board.add_image(f"{split}/{name}", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Close the files."""
        if not self._writes:
            return
        self._file.close()
        self._board.close()
