"""Folders of images and label maps, in one of several layouts."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence

from carafe_jax.data.sources.segmentation.label_classes import ClassEntry
from carafe_jax.data.sources.splits import TEST_FOLDERS, Split


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
    """Folders of each split, and the classes of a data set."""

    folders: Mapping[Split, SplitFolders]
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
    named: Mapping[str, SplitFolders],
) -> dict[Split, SplitFolders]:
    """Return the folders of each split: for the test, the first of `TEST_FOLDERS`.

    Args:
      named: Folders by the names "train", "val", "validation" and "test".
    """
    found: dict[Split, SplitFolders] = {}
    if "train" in named:
        found["train"] = named["train"]
    for name in TEST_FOLDERS:
        if name in named:
            found["test"] = named[name]
            break
    return found
