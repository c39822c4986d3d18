"""Image files of a folder, in any nesting."""

import dataclasses
import os
import pathlib

from PIL import Image

from carafe_jax.data.decoding import open_image
from carafe_jax.data.sources.digests import digest_of_files
from carafe_jax.data.sources.splits import (
    Split,
    TestSplit,
    split_folders,
    split_names,
)
from carafe_jax.data.sources.walk import image_names
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Image files by index, each opened on demand."""

    root: pathlib.Path
    names: tuple[str, ...]
    """Paths of the files, relative to the root."""

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Return the path of the file of this index, in printable form."""
        return printable(self.root / self.names[index])

    def digest(self) -> str:
        """Return a hash of the names and sizes of the files."""
        return digest_of_files(self.root, self.names)

    def open(self, index: int) -> Image.Image:
        """Open the file of this index; its pixels are not decoded."""
        return open_image(self.root / self.names[index])


def open_image_files(
    folder: pathlib.Path,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    test_fraction: float,
) -> ImageFiles:
    """List one split of a folder of images; no file is opened.

    Args:
      folder: Folder of images, in any nesting.
      split: Split to list, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.
      test_fraction: Fraction of the test set, as in `split_names`.

    Returns:
      Files in the order of their relative paths.

    Raises:
      RefusedError: The folder does not exist, or has no `test_split` or no file in
        this split.
    """
    if os.path.isfile(folder):
        raise RefusedError(
            "`source` must be a folder, of two images or more, got the file "
            f"{str(folder)!r}: put it into a folder with others, and give that folder."
        )
    if not folder.is_dir():
        raise RefusedError(f"`source` must be an existing folder, got {str(folder)!r}.")
    folders = split_folders(folder, test_split)
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


def list_images(path: pathlib.Path, *, argument: str = "images") -> list[pathlib.Path]:
    """Return the images of a folder, in any nesting; of a file, the file itself.

    Args:
      path: Folder, searched by the rules of `sources.walk`, or file.
      argument: Name of the argument, for errors.

    Returns:
      Paths in the order of their names.

    Raises:
      RefusedError: The path does not exist, or the folder has no image.
    """
    if not path.is_dir():
        if not os.path.exists(path):  # `Path.exists` raises without access.
            raise RefusedError(f"`{argument}` must exist, got {str(path)!r}.")
        return [path]
    names = image_names(path)
    if not names:
        raise RefusedError(
            f"`{argument}` must hold an image, got the folder {str(path)!r}."
        )
    return [path / name for name in names]
