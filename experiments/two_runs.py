"""Two trained networks, with CARAFE++ and without, that are drawn side by side."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import tyro
from rich.console import Console

from carafe_jax.data import TestSplit, UnreadableImageError
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.lines import loading, print_line
from carafe_jax.train import CheckpointChoice

Trained = TypeVar("Trained")
Photograph = TypeVar("Photograph")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoRuns:
    """Runs of two networks, and where test photographs come from."""

    carafe: pathlib.Path
    """Folder of the run that trained the network with CARAFE++."""
    plain: pathlib.Path
    """Folder of the run that trained the network with plain layers."""
    which: CheckpointChoice = "best"
    """Checkpoint of both: the best or the last."""
    source: str | None = None
    """Source of test photographs. None: that of the run with CARAFE++."""
    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))]
    """Picture to write, a PNG or a JPEG."""

    def load(
        self, load: Callable[..., Trained], console: Console
    ) -> tuple[Trained, Trained]:
        """Return the plain network and the one with CARAFE++.

        Args:
          load: Function that loads a run of the task.
          console: Console for a spinner.

        Raises:
          RefusedError: A folder holds no such checkpoint.
        """
        with loading(console, self.plain):
            plain = load(self.plain, which=self.which, argument="plain")
        with loading(console, self.carafe):
            carafe = load(self.carafe, which=self.which, argument="carafe")
        return plain, carafe


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoRunsOnSplit(TwoRuns):
    """Runs of two networks, and a split of a source that is chosen by its name."""

    test_split: TestSplit | None = None
    """Split of the source. None: that of the run, or of another source the first."""


def read_photographs(
    read: Callable[[int], Photograph],
    indices: Sequence[int],
    *,
    argument: str,
    console: Console,
) -> dict[int, Photograph]:
    """Return the photographs that can be read, by their index.

    Args:
      read: Function that reads a photograph.
      indices: Photographs to read.
      argument: Name of the argument that chose them, for errors.
      console: Console for a line about each that cannot be read.

    Raises:
      RefusedError: None of them can be read.
    """
    found: dict[int, Photograph] = {}
    for index in indices:
        try:
            found[index] = read(index)
        except UnreadableImageError as error:
            print_line(console, f"Left out: {error}")
    if not found:
        raise RefusedError(
            f"`{argument}` must have photographs that can be read, got {len(indices)} "
            "that cannot."
        )
    return found
