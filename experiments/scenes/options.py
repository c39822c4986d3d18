"""Options of composed scenes, and the scenes of a split."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from carafe_jax.arguments import check, check_count, check_seed
from carafe_jax.files import check_new
from experiments.scenes.composition import Scene, compose, load_backgrounds
from experiments.scenes.cutouts import CLASSES, make_cutouts

ScenesSplit = Literal["train", "val"]
SPLITS: tuple[ScenesSplit, ...] = ("train", "val")


def picture_name(number: int) -> str:
    """Return the file name of a picture by its number."""
    return f"{number:05d}.png"


def pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of a folder that are named as pictures of scenes, in order."""
    return sorted(folder.glob(f"{'[0-9]' * 5}.png"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scenes:
    """Number and size of the pictures."""

    output: Annotated[pathlib.Path, tyro.conf.arg(aliases=("-o",))] = pathlib.Path(
        "runs/scenes"
    )
    """Folder to write."""
    train: int = 400
    """Pictures to train on."""
    val: int = 40
    """Pictures to test on."""
    width: int = 256
    """Columns of a picture, in pixels."""
    height: int = 192
    """Rows of a picture, in pixels."""
    objects: tuple[int, int] = (1, 6)
    """Smallest and largest number of objects to place on a picture."""
    seed: int = 0
    """Seed of all random choices."""
    overwrite: bool = False
    """Write into a folder that has such pictures, which is an error otherwise."""

    def __post_init__(self) -> None:
        for name in ("train", "val", "width", "height"):
            check_count(name, getattr(self, name))
        check_seed("seed", self.seed)
        low, high = self.objects
        rule = "be two numbers 1 <= low <= high"
        check("objects", self.objects, rule, holds=1 <= low <= high)

    def check_pictures(self, *folders: str) -> None:
        """Raise if a split has pictures that must not be overwritten or deleted.

        Args:
          folders: Folders of the pictures in that of a split; "." for itself.

        Raises:
          RefusedError: A file named as `picture_name` does exists without `overwrite`,
            or cannot be written to.
        """
        for split in SPLITS:
            for folder in folders:
                for path in pictures_in(self.output / split / folder):
                    check_new("output", path, overwrite=self.overwrite)

    def compose(self, split: ScenesSplit, console: Console) -> Iterator[Scene]:
        """Yield the scenes of a split.

        Args:
          split: Split; each has its own sequence of random choices.
          console: Console for the progress bar.
        """
        rng = np.random.default_rng((self.seed, SPLITS.index(split)))
        cutouts = [
            [x for x in make_cutouts() if x.label == label]
            for label in range(len(CLASSES))
        ]
        backgrounds = load_backgrounds()
        numbers = range(getattr(self, split))
        for _ in track(numbers, f"composing {split}", console=console):
            low, high = self.objects
            yield compose(
                rng,
                cutouts,
                backgrounds,
                size=(self.width, self.height),
                count=int(rng.integers(low, high + 1)),
            )
