"""Rule by which sources are split into training and test images.

It is the same for photographs and for labelled images:

- A folder with a sub-folder `train` and one of `val`, `validation` and `test` is split
  by them; the first of the three that exists is the test set. Upper case counts too.
- Any other folder is split by a hash of each file's relative path, which puts
  `test_fraction` of the files into the test set. A file stays in its split when others
  are added to the folder. Of two files or more, neither split is empty.
- A data set of TensorFlow Datasets is split into its "train" and the first of its
  "validation" and "test" that exists.
"""

import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar

Split = Literal["train", "test"]
T = TypeVar("T")

_TEST_FOLDERS = ("val", "validation", "test")
_TFDS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "test": ("validation", "test"),
}


def split_folders(folder: pathlib.Path) -> dict[Split, pathlib.Path] | None:
    """Return the sub-folders that split a folder, or None if it has no such pair."""
    # `train` comes before `Train`, where a file system has both.
    found = {
        path.name.lower(): path
        for path in sorted(folder.iterdir())
        if path.name.lower() in ("train", *_TEST_FOLDERS) and path.is_dir()
    }
    test = next((found[name] for name in _TEST_FOLDERS if name in found), None)
    if test is None or "train" not in found:
        return None
    return {"train": found["train"], "test": test}


def split_names(
    names: Sequence[str], split: Split, *, test_fraction: float
) -> list[str]:
    """Return the files of one split of a folder that is split by a hash.

    Args:
      names: Relative paths of all files.
      split: Split to return.
      test_fraction: Fraction of the files that is held out for the test, in (0, 1).

    Returns:
      Some of the names, in their order.
    """
    ranks = {name: _rank(name) for name in names}
    test = {name for name, rank in ranks.items() if rank < test_fraction}
    if len(names) > 1:
        test.add(min(names, key=ranks.__getitem__))
        test.discard(max(names, key=ranks.__getitem__))
    return [name for name in names if (name in test) == (split == "test")]


def split_of_tfds(splits: Mapping[str, T], split: Split) -> T | None:
    """Return one split of a data set of TFDS, or None if it is missing."""
    return next((splits[name] for name in _TFDS[split] if name in splits), None)


def tfds_names(split: Split) -> str:
    """Return the names that a split may have in TFDS, for messages."""
    return " or ".join(_TFDS[split])


def _rank(name: str) -> float:
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
