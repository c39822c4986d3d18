"""Labelled images of a folder: the sub-folder of a file is its class."""

import dataclasses
import pathlib

from PIL import Image

from carafe_jax.data.sources.folder import ImageFiles, folder_names, open_image_files
from carafe_jax.data.sources.splits import Split, split_folders
from carafe_jax.errors import RefusedError


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
    """Image files with the numbers of their classes."""

    files: ImageFiles
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Return the path of the file of this index."""
        return self.files.name(index)

    def open(self, index: int) -> tuple[Image.Image, int]:
        """Open the file of this index; return it with its label."""
        return self.files.open(index), self.labels[index]


def open_labelled_folder(
    folder: pathlib.Path, *, split: Split, test_fraction: float
) -> LabelledFiles:
    """List one split of a folder of labelled images; no file is opened.

    The classes are the sub-folders of the training split, or of a folder that is split
    by a hash, in the order of their names. Files outside of them are skipped.

    Args:
      folder: `SPLIT/CLASS/*.jpg` or `CLASS/*.jpg`, in any nesting below the class.
      split: Split to list, by the rule of `splits`.
      test_fraction: As in `split_names`.

    Returns:
      Files in the order of their relative paths.

    Raises:
      RefusedError: The folder is missing, holds no file of this split, or its test
        set has a class that is not trained.
    """
    files = open_image_files(folder, split=split, test_fraction=test_fraction)
    folders = split_folders(folder)
    classes = folder_names(folders["train"] if folders else folder)
    if folders is None and classes == ("train",):
        raise RefusedError(
            "`source` must have a sub-folder `val`, `validation` or `test` beside "
            f"`train`, got {str(folder)!r}."
        )
    strange = sorted(set(folder_names(files.root)) - set(classes))
    if strange:
        raise RefusedError(
            f"`source` must have the classes of {str(files.root)!r} in its train "
            f"folder as well, got {', '.join(strange)}."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    labels = {name: numbers[name.split("/")[0]] for name in files.names if "/" in name}
    if not labels:
        raise RefusedError(
            f"`source` must hold images in {str(files.root / 'CLASS')!r}, got none."
        )
    return LabelledFiles(
        ImageFiles(files.root, tuple(labels)), tuple(labels.values()), classes
    )
