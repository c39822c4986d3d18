"""Images that a COCO annotation file lists, matched to the pictures of a folder."""

import dataclasses
import logging
import os
import pathlib
import posixpath
from collections.abc import Sequence
from typing import Any

import numpy as np

from carafe_jax.data.decoding import UnreadableImageError, open_image, upright_size
from carafe_jax.data.sources.coco.annotation_file import AnnotationFile
from carafe_jax.data.sources.coco.columns import whole
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.treatments import (
    MISSING_PICTURE,
    NO_SIZE,
    UNNAMED_PICTURE,
    UNREADABLE,
)
from carafe_jax.data.sources.walk import image_names
from carafe_jax.errors import RefusedError
from carafe_jax.run_length_codes import MOST_PIXELS
from carafe_jax.texts import counted, printable

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Images of an annotation file, in the order of their file names."""

    names: tuple[str, ...]
    """Paths below the folder."""
    ids: np.ndarray
    sizes: np.ndarray
    """Height and width."""

    def chosen(self, names: Sequence[str]) -> "Pictures":
        """Return those of some names, in ascending order."""
        wanted = set(names)
        kept = np.array([name in wanted for name in self.names], bool)
        names = [name for name, keep in zip(self.names, kept, strict=True) if keep]
        return Pictures(tuple(names), self.ids[kept], self.sizes[kept])


def find_pictures(
    file: AnnotationFile, folder: pathlib.Path, findings: Findings
) -> Pictures:
    """Return the images whose pictures are in a folder.

    Args:
      file: Annotation file.
      folder: Folder of the pictures.
      findings: What is found is added.

    Raises:
      RefusedError: An image has no valid id or file name, or repeats another's; or no
        picture is in the folder.
    """
    entries = _by_name(file)
    if not entries:
        raise file.error("`images`", "must hold at least one, got none")
    present = set(image_names(folder))
    missing = [
        name
        for name in entries
        if name not in present and not os.path.isfile(folder / name)
    ]
    if len(missing) == len(entries):
        raise RefusedError(
            f"`source` must have the pictures of {str(file.path)!r} in "
            f"{str(folder)!r}, got none of {len(missing)}, such as "
            f"{printable(missing[0])!r}."
        )
    shown = [_shown(name, entries[name]) for name in missing]
    findings.add(MISSING_PICTURE, shown, count=len(shown))
    unnamed = sorted(present.difference(entries))
    findings.add(UNNAMED_PICTURE, [*map(printable, unnamed[:3])], count=len(unnamed))
    for name in missing:
        del entries[name]
    sizes = _sizes(entries, folder, findings)
    if not sizes:
        raise file.error("`images`", "must hold one that can be read, got none")
    ids = [whole(entries[name]["id"]) for name in sizes]
    return Pictures(
        tuple(sizes), np.array(ids, np.int64), np.array([*sizes.values()], np.int32)
    )


def _by_name(file: AnnotationFile) -> dict[str, dict[str, Any]]:
    """Return the images by their normalised file names, in ascending order."""
    found: dict[str, dict[str, Any]] = {}
    names_of_ids: dict[int, str] = {}
    for place, entry in enumerate(file.images):
        number, name = entry.get("id"), entry.get("file_name")
        id_ = whole(number)
        if id_ is None:
            rule = f"`id` must be an integer, got {number!r}"
            raise file.error(f"images[{place}]", rule)
        if not isinstance(name, str) or not name or "\0" in name:
            rule = f"`file_name` must be the name of a picture, got {name!r}"
            raise file.error(f"image {id_}", rule)
        if posixpath.isabs(name) or ".." in name.split("/"):
            rule = "`file_name` must be a path below the folder of the pictures, "
            raise file.error(f"image {id_}", f"{rule}without '..', got {name!r}")
        name = posixpath.normpath(name)
        if id_ in names_of_ids:
            rule = "its id must be its own, got "
            raise file.error(
                f"image {id_}", f"{rule}{names_of_ids[id_]!r} and {name!r}"
            )
        if name in found:
            rule = f"must be the only one of {name!r}, got image {found[name]['id']}"
            raise file.error(f"image {id_}", rule)
        names_of_ids[id_], found[name] = name, entry
    return dict(sorted(found.items()))


def _sizes(
    entries: dict[str, dict[str, Any]], folder: pathlib.Path, findings: Findings
) -> dict[str, tuple[int, int]]:
    """Return height and width by name, from the pictures where the file lacks them."""
    sizes: dict[str, tuple[int, int]] = {}
    lacking = [name for name, entry in entries.items() if _size(entry) is None]
    if lacking:
        _LOGGER.info(
            "Reading the sizes of %s in %s.",
            counted(len(lacking), "picture"),
            printable(folder),
        )
    for name, entry in entries.items():
        size = _size(entry)
        if size is None:
            size = _size_of_picture(folder / name)
            reason = UNREADABLE if size is None else NO_SIZE
            findings.add(reason, [_shown(name, entry)])
        if size is not None:
            sizes[name] = size
    return sizes


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    height, width = whole(entry.get("height")), whole(entry.get("width"))
    if height is None or width is None or min(height, width) < 1:
        return None
    return (height, width) if height * width <= MOST_PIXELS else None


def _size_of_picture(path: pathlib.Path) -> tuple[int, int] | None:
    try:
        with open_image(os.fspath(path)) as image:
            width, height = upright_size(image)
    except UnreadableImageError:
        return None
    return height, width


def _shown(name: str, entry: dict[str, Any]) -> str:
    return f"image {whole(entry['id'])}, {printable(name)}"
