"""Digests of sets of images, by which a change is noticed without opening a file."""

import hashlib
import os
import pathlib
from collections.abc import Sequence

from carafe_jax.data.spread import spread

_SIZES = 10_000  # A network file system may take a millisecond for each.


def digest_of_files(root: pathlib.Path, names: Sequence[str]) -> str:
    """Return a hash of the names and sizes of files, in hexadecimal.

    All names are hashed, and the sizes of up to 10,000 files. Of more files, the sizes
    of 10,000 that are spread evenly are hashed, so that a million files take seconds.

    Args:
      root: Folder of the files.
      names: Their paths, relative to the root.
    """
    digest = hashlib.sha256(b"\0".join(map(os.fsencode, names)))
    for place in spread(len(names), _SIZES):
        digest.update(f"\0{_size(root / names[place])}".encode())
    return digest.hexdigest()


def digest_of_texts(*texts: str) -> str:
    """Return a hash of texts, in hexadecimal."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _size(path: pathlib.Path) -> int | None:
    """Return the size of a file in bytes; None for one that cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return None
