"""Folders of images and label maps, in one of several layouts."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from carafe_jax.data.sources.segmentation.label_table import ClassEntry
from carafe_jax.data.sources.splits import Split, TestSplit, name_of_test_set


@dataclasses.dataclass(frozen=True)
class SplitFolders:
    """Folders of a split: an image and its label map have equal names in them.

    The names are relative paths without the extension and without an ending.
    """

    images: pathlib.Path
    labels: pathlib.Path
    image_ending: str = ""
    """Ending of the names of images, before the extension."""
    label_ending: str = ""
    """Ending of the names of label maps, before the extension ".png"."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Folders of the splits, and the classes of a data set."""

    folders: Mapping[str, SplitFolders]
    """Folders by the names "train", "val", "validation" and "test"."""
    entries: Sequence[ClassEntry]
    """Classes, void ones included."""
    origin: str
    """Printable name of what lists the classes."""
    ignored: frozenset[int] = frozenset()
    """Values of label maps that are ignored, beside 255 and void classes."""


FindLayout = Callable[[pathlib.Path, pathlib.Path | None], Layout | None]
"""Returns the layout of a folder and of a file of classes, which may be None; None if
the folder has another layout."""


def folders_by_split(
    named: Mapping[str, SplitFolders], test_split: TestSplit | None = None
) -> dict[Split, SplitFolders]:
    """Return the folders of each split.

    Args:
      named: Folders by the names "train", "val", "validation" and "test".
      test_split: Name of the test set. None: by the rule of `splits`.

    Raises:
      RefusedError: There are no folders of the name `test_split`.
    """
    test = name_of_test_set(named, test_split)
    found: dict[Split, SplitFolders] = {}
    if "train" in named:
        found["train"] = named["train"]
    if test is not None:
        found["test"] = named[test]
    return found
