"""Annotation files of a folder and the folders of their pictures."""

import dataclasses
import os
import pathlib
import re

from carafe_jax.data.sources.splits import Split, TestSplit, name_of_test_set
from carafe_jax.errors import RefusedError

_NAME = re.compile(r"instances_(train|val|validation|test)(\d*)\.json", re.IGNORECASE)
_LAYOUT = "annotations/instances_SPLIT.json beside the pictures in SPLIT/"


@dataclasses.dataclass(frozen=True)
class SplitFiles:
    """Annotation file of a split, and the folder of its pictures."""

    annotations: pathlib.Path
    pictures: pathlib.Path


def find_splits(
    folder: pathlib.Path, test_split: TestSplit | None = None
) -> dict[Split, SplitFiles]:
    """Return the files of each split that a folder has.

    The pictures of `annotations/instances_train2017.json` are in `train2017`, in
    `images/train2017`, in `train` or in `images/train`, the first that exists. The test
    set is `val`, `validation` or `test`, the first of these that has annotations.

    Args:
      folder: Folder of the data set.
      test_split: Name of the test set. None: the first of the three.

    Raises:
      RefusedError: The folder, its annotation files, those of `test_split` or the
        folder of their pictures do not exist, or several annotation files are of one
        split.
    """
    if not folder.is_dir():
        raise RefusedError(
            f"`source` must be an existing folder with {_LAYOUT}, got {str(folder)!r}."
        )
    named = _annotation_files(folder)
    if not named:
        raise RefusedError(
            f"`source` must have {_LAYOUT}, for SPLIT train, val or test, got "
            f"{str(folder)!r} without an annotation file."
        )
    names: dict[Split, str | None] = {
        "train": "train" if "train" in named else None,
        "test": name_of_test_set(named, test_split),
    }
    found: dict[Split, SplitFiles] = {}
    for split, name in names.items():
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
