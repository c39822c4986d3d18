"""Image files for tests."""

import pathlib
from collections.abc import Iterable

from PIL import Image

from carafe_jax.data import Photographs


def touch(folder: pathlib.Path, *names: str) -> pathlib.Path:
    """Create empty files, which suffice to list a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(
    folder: pathlib.Path, names: Iterable[str], *, side: int = 16
) -> pathlib.Path:
    """Write images whose red value is their index in the list."""
    for value, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (side, side), (value, 0, 0)).save(folder / name)
    return folder


def reds(photographs: Photographs) -> list[int]:
    """Return the red values of all photographs."""
    return [int(photographs[i][0, 0, 0]) for i in range(len(photographs))]
