"""Rule that splits sources into training and test images.

It is the same for photographs and for labelled images:

- A folder with a sub-folder `train` and one of `val`, `validation` and `test`, in any
  case, is split by them; the first of the three that exists is the test set.
- Any other folder is split by a hash of each file's relative path, which puts
  `test_fraction` of the files into the test set. A file stays in its split if others
  are added to the folder. With two files or more, neither split is empty.
- A data set of TensorFlow Datasets has the training set "train" and the test set
  "validation", or "test" if there is no "validation".

A source can be opened with another of these names as the test set, by `test_split`.
"""

import hashlib
import os
import pathlib
from collections.abc import Collection, Sequence
from typing import Literal

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError

Split = Literal["train", "test"]
TestSplit = Literal["val", "validation", "test"]

TEST_FOLDERS: tuple[TestSplit, ...] = ("val", "validation", "test")
_TFDS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "test": ("validation", "test"),
}


class MissingSplitError(RefusedError):
    """A source has no images of the split that is opened."""


def name_of_test_set(
    present: Collection[str], test_split: TestSplit | None
) -> TestSplit | None:
    """Return the name of the test set of a folder, or None if it has none.

    Args:
      present: Names of the splits that the folder has.
      test_split: Name of the test set. None: the first of `TEST_FOLDERS` that exists.

    Raises:
      RefusedError: The folder has no split of the name `test_split`.
    """
    known: list[TestSplit] = [name for name in TEST_FOLDERS if name in present]
    _check_test_split(test_split, known)
    return test_split or next(iter(known), None)


def split_folders(
    folder: pathlib.Path, test_split: TestSplit | None = None
) -> dict[Split, pathlib.Path] | None:
    """Return the sub-folders that split a folder, or None if it has no such pair.

    Args:
      folder: Existing folder.
      test_split: Name of the test set. None: by the rule.

    Raises:
      RefusedError: There is no `test_split`, or no `train` beside it.
    """
    found = named_folders(folder, ("train", *TEST_FOLDERS))
    if found and "train" not in found:
        rule = "be None if `source` has no folder `train` beside its test set"
        check("test_split", test_split, rule, holds=test_split is None)
        return None
    test = name_of_test_set(found, test_split)
    return None if test is None else {"train": found["train"], "test": found[test]}


def named_folders(
    folder: pathlib.Path, names: Sequence[str]
) -> dict[str, pathlib.Path]:
    """Return the sub-folders that have one of some names, in any case.

    Args:
      folder: Existing folder.
      names: Names in lower case.
    """
    # `train` overrides `Train` on file systems that have both.
    return {
        path.name.lower(): path
        for path in sorted(folder.iterdir())
        if path.name.lower() in names and path.is_dir()
    }


def split_names(
    names: Sequence[str], split: Split, *, test_fraction: float
) -> list[str]:
    """Return the files of one split of a folder that is split by a hash.

    Args:
      names: Relative paths of all files.
      split: Split to return.
      test_fraction: Fraction of the files to hold out for the test set, in (0, 1).

    Returns:
      The names in the split, in the given order.
    """
    ranks = {name: _rank(name) for name in names}
    test = {name for name, rank in ranks.items() if rank < test_fraction}
    if len(names) > 1:
        test.add(min(names, key=ranks.__getitem__))
        test.discard(max(names, key=ranks.__getitem__))
    return [name for name in names if (name in test) == (split == "test")]


def name_in_tfds(
    present: Collection[str], split: Split, test_split: TestSplit | None = None
) -> str | None:
    """Return the name of a split of a data set of TFDS, or None if it is missing.

    Args:
      present: Names of the splits that the data set has.
      split: Split to find.
      test_split: Name of the test set. None: by the rule.

    Raises:
      RefusedError: The data set has no split of the name `test_split`, which is an
        error for the training set, too.
    """
    _check_test_split(test_split, [name for name in TEST_FOLDERS if name in present])
    names = _names_in_tfds(split, test_split)
    return next((name for name in names if name in present), None)


def tfds_names(split: Split, test_split: TestSplit | None = None) -> str:
    """Return the possible names of a split in TFDS, for errors."""
    return " or ".join(_names_in_tfds(split, test_split))


def _names_in_tfds(split: Split, test_split: TestSplit | None) -> tuple[str, ...]:
    if split == "test" and test_split is not None:
        return (test_split,)
    return _TFDS[split]


def _check_test_split(test_split: TestSplit | None, known: Sequence[TestSplit]) -> None:
    rule = f"be None or a split of `source` ({', '.join(known) or 'none'})"
    check("test_split", test_split, rule, holds=test_split in (None, *known))


def _rank(name: str) -> float:
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
