"""Image files of a folder, in any nesting."""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterator

from PIL import Image

from carafe_jax.data.decoding import open_image
from carafe_jax.data.sources.splits import Split, split_folders, split_names
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)
_SUFFIXES = frozenset(
    [".avif", ".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm"]
).union([".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"])


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files by index, each opened on demand."""

    root: pathlib.Path
    names: tuple[str, ...]
    """Paths of the files, relative to the root."""

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Return the path of the file of this index."""
        return str(self.root / self.names[index])

    def open(self, index: int) -> Image.Image:
        """Open the file of this index; its pixels are not decoded."""
        return open_image(self.root / self.names[index])


def open_image_files(
    folder: pathlib.Path, *, split: Split, test_fraction: float
) -> ImageFiles:
    """List one split of a folder of images; no file is opened.

    Args:
      folder: Folder of images, in any nesting.
      split: Split to list, by the rule of `splits`.
      test_fraction: As in `split_names`.

    Returns:
      Files in the order of their relative paths.

    Raises:
      RefusedError: The folder is missing, or holds no file of this split.
    """
    if not folder.is_dir():
        raise RefusedError(f"`source` must be an existing folder, got {str(folder)!r}.")
    folders = split_folders(folder)
    root = folder if folders is None else folders[split]
    found = names = image_names(root)
    if folders is None:
        names = split_names(found, split, test_fraction=test_fraction)
    if found and not names:
        raise RefusedError(
            "`source` must hold at least two images, one of them for the test, got "
            f"{str(root)!r} with one."
        )
    if not names:
        raise RefusedError(
            f"`source` must hold image files for {split!r}, got {str(root)!r} "
            "without any."
        )
    return ImageFiles(root, tuple(names))


def image_names(root: pathlib.Path) -> list[str]:
    """Return the relative paths of the image files below a folder, sorted.

    Files are recognised by the suffix of an image format. Files and folders whose names
    begin with a dot, and folders named `__MACOSX`, are skipped. Links to folders are
    followed, but no folder is read twice, so that cycles of links end; a link to a
    folder that contains the root or the link is skipped.
    """
    return sorted(
        prefix + file
        for parent, files in _walk(root)
        for prefix in [f"{parent}/" if parent else ""]
        for file in files
        if _counts(file) and os.path.splitext(file)[1].lower() in _SUFFIXES
    )


def folder_names(root: pathlib.Path) -> tuple[str, ...]:
    """Return the sub-folders of a folder that `image_names` searches, sorted."""
    return tuple(
        sorted(
            path.name
            for path in root.iterdir()
            if path.is_dir() and _counts(path.name) and not _leads_up(path, root)
        )
    )


def list_images(path: pathlib.Path, *, argument: str = "images") -> list[pathlib.Path]:
    """Return the images of a folder, in any nesting; of a file, the file itself.

    Args:
      path: Folder, searched as by `image_names`, or file.
      argument: What errors call the path.

    Returns:
      Paths in the order of their names.

    Raises:
      RefusedError: The path does not exist, or the folder holds no image.
    """
    if not path.is_dir():
        if not path.exists():
            raise RefusedError(f"`{argument}` must exist, got {str(path)!r}.")
        return [path]
    names = image_names(path)
    if not names:
        raise RefusedError(
            f"`{argument}` must hold an image, got the folder {str(path)!r}."
        )
    return [path / name for name in names]


def _walk(root: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder once, by relative path, with its files; links come last."""

    def warn(error: OSError) -> None:
        _LOGGER.warning("Skipped a folder: %s", error)

    seen: set[str] = set()
    starts = [os.fspath(root)]
    while starts:
        links: list[str] = []
        for start in sorted(starts):
            for parent, folders, files in os.walk(start, onerror=warn):
                folders[:] = filter(_counts, folders)
                real = os.path.realpath(parent)
                if real in seen:
                    folders.clear()
                    continue
                seen.add(real)
                paths = (os.path.join(parent, folder) for folder in folders)
                links += (
                    path
                    for path in paths
                    if os.path.islink(path) and not _leads_up(path, root)
                )
                relative = pathlib.PurePath(parent).relative_to(root)
                yield relative.as_posix().removeprefix("."), files
        starts = links


def _leads_up(path: str | os.PathLike[str], root: str | os.PathLike[str]) -> bool:
    """Tell whether a folder, as a link may, contains the root or its own parent."""
    target = pathlib.Path(path).resolve()
    below = (pathlib.Path(root), pathlib.Path(path).parent)
    return any(folder.resolve().is_relative_to(target) for folder in below)


def _counts(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
