"""Layout of ADE20K for scene parsing, `ADEChallengeData2016`.

`images/training/NAME.jpg` and `annotations/training/NAME.png`, and the same for
`validation`. The value 0 is unlabelled, 1 to 150 are the classes. Their names are in
`objectInfo150.txt`, which the archive has beside the two folders.
"""

import pathlib

from carafe_jax.data.sources.segmentation.label_table import (
    ClassEntry,
    lines_of,
    read_classes_file,
    value_of,
)
from carafe_jax.data.sources.segmentation.layout import Layout, SplitFolders
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable

_UNLABELLED = 0
_LIST = "objectInfo150.txt"
_NAMES = {"train": "training", "validation": "validation"}


def find_ade20k(
    folder: pathlib.Path, classes_file: pathlib.Path | None
) -> Layout | None:
    """Return the layout of a folder with `images/training` and `annotations/training`.

    Args:
      folder: Folder of the data set.
      classes_file: List of the classes. None: `objectInfo150.txt` in the folder or its
        parent, or `classes.txt` in the folder.

    Raises:
      RefusedError: No list of classes is found, or it is invalid.
    """
    folders = {
        split: SplitFolders(folder / "images" / name, folder / "annotations" / name)
        for split, name in _NAMES.items()
        if (folder / "images" / name).is_dir()
        and (folder / "annotations" / name).is_dir()
    }
    if not folders:
        return None
    path = _class_list(folder) if classes_file is None else classes_file
    is_original = path.name == _LIST
    entries = _read_object_info(path) if is_original else read_classes_file(path)
    origin = repr(printable(path))
    for entry in entries:
        if entry.value == _UNLABELLED:
            raise RefusedError(
                f"{origin} must number the classes of ADE20K from 1, as 0 is "
                f"unlabelled, got {printable(entry.name)!r} with 0."
            )
    return Layout(folders, entries, origin, frozenset((_UNLABELLED,)))


def _class_list(folder: pathlib.Path) -> pathlib.Path:
    places = (folder / _LIST, folder.absolute().parent / _LIST, folder / "classes.txt")
    for path in places:
        if path.is_file():
            return path
    raise RefusedError(
        f"`source` must have the names of the classes in {_LIST}, of the original "
        "archive, or in classes.txt, or `classes_file` name such a file, got "
        f"{str(folder)!r} without."
    )


def _read_object_info(path: pathlib.Path) -> list[ClassEntry]:
    """Read the index and the first of the names of each class, below a header."""
    entries: list[ClassEntry] = []
    for line, place in [*lines_of(path)][1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        name = cells[-1].split(",")[0].strip()
        if len(cells) < 2 or not name:
            raise RefusedError(
                f"{place} must have an index and names between tabs, got "
                f"{printable(line)[:80]!r}."
            )
        entries.append(ClassEntry(value_of(cells[0], place), name))
    return entries
