"""Annotation files of a folder and the folders of their pictures."""

import dataclasses
import os
import pathlib
import re

from carafe_jax.data.sources.splits import TEST_FOLDERS, Split
from carafe_jax.errors import RefusedError

_NAME = re.compile(r"instances_(train|val|validation|test)(\d*)\.json", re.IGNORECASE)
_LAYOUT = "annotations/instances_SPLIT.json beside the pictures in SPLIT/"


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Annotation file of a split, and the folder of its pictures."""

    annotations: pathlib.Path
    pictures: pathlib.Path


def find_splits(folder: pathlib.Path) -> dict[Split, SplitFiles]:
    """Return the files of each split that a folder has.

    The pictures of `annotations/instances_train2017.json` are in `train2017`, in
    `images/train2017`, in `train` or in `images/train`, the first that exists. The test
    set is `val`, `validation` or `test`, the first of these that has annotations.

    Args:
      folder: Folder of the data set.

    Raises:
      RefusedError: The folder, its annotation files or the folder of their pictures do
        not exist, or several annotation files are of one split.
    """
    if not folder.is_dir():
        raise RefusedError(
            f"`source` must be an existing folder with {_LAYOUT}, got {str(folder)!r}."
        )
    named = _annotation_files(folder)
    found: dict[Split, SplitFiles] = {}
    names_of: dict[Split, tuple[str, ...]] = {"train": ("train",), "test": TEST_FOLDERS}
    for split, names in names_of.items():
        name = next((name for name in names if name in named), None)
        if name is None:
            continue
        if len(named[name]) > 1:
            files = ", ".join(repr(file.name) for file in named[name])
            raise RefusedError(
                f"`source` must have one annotation file for {name!r}, got {files} in "
                f"{str(folder / 'annotations')!r}."
            )
        file = named[name][0]
        found[split] = SplitFiles(file, _pictures_of(file, folder))
    if not found:
        raise RefusedError(
            f"`source` must have {_LAYOUT}, for SPLIT train, val or test, got "
            f"{str(folder)!r} without an annotation file."
        )
    return found


def _annotation_files(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Return the annotation files by the name of their split."""
    annotations = folder / "annotations"
    named: dict[str, list[pathlib.Path]] = {}
    if annotations.is_dir():
        for name in sorted(os.listdir(annotations)):
            if match := _NAME.fullmatch(name):
                named.setdefault(match[1].lower(), []).append(annotations / name)
    return named


def _pictures_of(file: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    name = file.stem.removeprefix(file.stem[: len("instances_")])
    plain = name.rstrip("0123456789")
    candidates = [
        folder / parent / each
        for each in dict.fromkeys((name, plain))
        for parent in ("", "images")
    ]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise RefusedError(
        f"`source` must have the pictures of {str(file)!r} in {name!r} or "
        f"{f'images/{name}'!r}, got neither in {str(folder)!r}."
    )
