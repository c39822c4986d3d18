"""Photographs from a folder of image files."""

import concurrent.futures
import dataclasses
import hashlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from carafe_jax.data.decoding import (
    UNREADABLE,
    bytes_when_decoded,
    decode_photograph,
)
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)
_SUFFIXES = frozenset(
    [".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"]
).union([".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"])
_NAMES_IN_A_WARNING = 10

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class PhotographFiles:
    """Image files, decoded each time one is asked for."""

    root: pathlib.Path
    names: tuple[str, ...]
    """Paths of the files, relative to the root."""
    sufficient_side: int | None = None
    """As in `decode_photograph`."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        return self.decode(self.names[index])

    def decode(self, name: str) -> UInt8[np.ndarray, "h w 3"]:
        """Decode the file of this name."""
        return decode_photograph(self.root / name, sufficient_side=self.sufficient_side)


def open_image_folder(
    folder: pathlib.Path,
    *,
    split: Literal["train", "test"],
    minimum_side: int,
    sufficient_side: int | None,
    test_fraction: float,
    cache_bytes: int,
) -> list[np.ndarray] | PhotographFiles:
    """Open one split of a folder of images, in any nesting.

    Sub-folders `train` and `test` (or `val`), where both are there, are the split;
    elsewhere each file goes by a hash of its relative path. Hidden files and files
    without the suffix of an image are passed over. Every image of the split is read
    once: files that are damaged or too small are skipped, with a warning that counts
    and names them.

    Args:
        folder: Where the images are.
        split: Which part.
        minimum_side: Shortest side that an image may have, in pixels.
        sufficient_side: As in `decode_photograph`.
        test_fraction: Part of the files that is kept for the test, in (0, 1), where
            the folder itself does not say.
        cache_bytes: Memory in which to hold the decoded images. Where they do not
            fit, each is decoded anew when it is read.

    Returns:
        Photographs in the order of their relative paths, RGB in [0, 255].

    Raises:
        RefusedError: If the folder is missing, or no image of the split can be used.
    """
    if not folder.is_dir():
        raise RefusedError(f"`source` must be an existing folder, got {str(folder)!r}.")
    root, names = _split_files(folder, split, test_fraction)
    sizes, refused = _try_each(names, lambda name: _size(root / name, minimum_side))
    needed = sum(bytes_when_decoded(size, sufficient_side) for size in sizes.values())
    files = PhotographFiles(root, tuple(sizes), sufficient_side)
    if needed <= cache_bytes:
        usable, damaged = _try_each(sizes, files.decode)
        photographs = list(usable.values())
    else:
        usable, damaged = _try_each(sizes, lambda name: files.decode(name).shape)
        photographs = dataclasses.replace(files, names=tuple(usable))
    _warn_of_skipped(refused | damaged, root)
    if not usable:
        raise RefusedError(
            f"`source` must hold an image for {split!r} that can be read and has no "
            f"side under {minimum_side} pixels (the `crop_size` of crops), "
            f"got {str(folder)!r}, where none of {len(names)} will do."
        )
    return photographs


def _split_files(
    folder: pathlib.Path, split: Literal["train", "test"], test_fraction: float
) -> tuple[pathlib.Path, list[str]]:
    tests = [folder / name for name in ("test", "val") if (folder / name).is_dir()]
    if tests and (folder / "train").is_dir():
        root = folder / "train" if split == "train" else tests[0]
        return root, image_names(root)
    names = image_names(folder)
    held_out = _held_out(names, test_fraction)
    return folder, [name for name in names if (name in held_out) == (split == "test")]


def image_names(root: pathlib.Path) -> list[str]:
    """List the files with the suffix of an image, in any nesting, by relative path."""

    def warn(error: OSError) -> None:
        _LOGGER.warning("Skipped a folder: %s", error)

    return sorted(
        path.relative_to(root).as_posix()
        for parent, _, files in os.walk(root, onerror=warn)
        for path in (pathlib.Path(parent, file) for file in files)
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )


def list_images(path: pathlib.Path) -> list[pathlib.Path]:
    """List the images of a folder, in any nesting; of a file, the file itself.

    Raises:
        RefusedError: If there is nothing at the path, or no image in the folder.
    """
    if not path.is_dir():
        if not path.exists():
            raise RefusedError(f"`images` must exist, got {str(path)!r}.")
        return [path]
    names = image_names(path)
    if not names:
        raise RefusedError(
            f"`images` must hold an image, got the folder {str(path)!r}."
        )
    return [path / name for name in names]


def _held_out(names: Sequence[str], fraction: float) -> set[str]:
    """Choose the test files; with two files or more, neither split is empty."""
    held_out = {name for name in names if _rank(name) < fraction}
    if len(names) > 1:
        held_out.add(min(names, key=_rank))
        held_out.discard(max(names, key=_rank))
    return held_out


def _rank(name: str) -> float:
    digest = hashlib.sha256(os.fsencode(name)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _size(path: pathlib.Path, minimum_side: int) -> tuple[int, int]:
    with Image.open(path) as image:
        width, height = image.size
    if min(width, height) < minimum_side:
        raise RefusedError(f"{width} x {height} pixels, a side under {minimum_side}")
    return width, height


def _try_each(
    names: Iterable[str], function: Callable[[str], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """Apply to each file: results where it can be read, the reasons where it cannot."""

    def attempt(name: str) -> tuple[str, T | Exception]:
        try:
            return name, function(name)
        except UNREADABLE as error:
            return name, error

    # Pillow lets other threads run while it decodes.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(attempt, names))
    results = {k: v for k, v in outcomes if not isinstance(v, Exception)}
    return results, {k: str(v) for k, v in outcomes if isinstance(v, Exception)}


def _warn_of_skipped(reasons: dict[str, str], root: pathlib.Path) -> None:
    if not reasons:
        return
    named = [f"{name} ({reason})" for name, reason in sorted(reasons.items())]
    more = len(named) - _NAMES_IN_A_WARNING
    _LOGGER.warning(
        "Skipped %d image files of %s: %s%s",
        len(named),
        root,
        "; ".join(named[:_NAMES_IN_A_WARNING]),
        f"; and {more} more" if more > 0 else "",
    )
