"""Labelled images of a folder, with a sub-folder for each class."""

import dataclasses
import logging
import pathlib
from collections.abc import Sequence

from PIL import Image

from carafe_jax.data.sources.folder import ImageFiles, open_image_files
from carafe_jax.data.sources.splits import Split, TestSplit, split_folders
from carafe_jax.data.sources.walk import folder_names, image_names
from carafe_jax.errors import RefusedError

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class LabelledFiles:
    """Image files with their labels."""

    files: ImageFiles
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        """Return the path of the file of this index."""
        return self.files.name(index)

    def digest(self) -> str:
        """Return a hash of the files; their names have those of the classes."""
        return self.files.digest()

    def open(self, index: int) -> tuple[Image.Image, int]:
        """Open the file of this index; return it with its label."""
        return self.files.open(index), self.labels[index]


def open_labelled_folder(
    folder: pathlib.Path,
    *,
    split: Split,
    test_split: TestSplit | None,
    test_fraction: float,
) -> LabelledFiles:
    """List one split of a folder of labelled images; no file is opened.

    The classes are the sub-folders with images, in the order of their names: those of
    the training split, or of the whole folder if it is split by a hash. Sub-folders
    without images and files outside sub-folders are skipped, with a warning.

    Args:
      folder: `SPLIT/CLASS/*.jpg` or `CLASS/*.jpg`, in any nesting below the class.
      split: Split to list, by the rule of `splits`.
      test_split: Name of the test set. None: by the rule.
      test_fraction: Fraction of the test set, as in `split_names`.

    Returns:
      Files in the order of their relative paths.

    Raises:
      RefusedError: The folder does not exist, has no `test_split` or no file in this
        split, or its test set has a class that the training set does not have.
    """
    files = open_image_files(
        folder, split=split, test_split=test_split, test_fraction=test_fraction
    )
    folders = split_folders(folder, test_split)
    trained = folders["train"] if folders else folder
    is_listed = folders is not None and split == "train"
    names = files.names if is_listed else image_names(trained, log=False)
    classes = sorted({name.split("/")[0] for name in names if "/" in name})
    if folders is None and [name.lower() for name in classes] == ["train"]:
        raise RefusedError(
            "`source` must have a sub-folder `val`, `validation` or `test` beside "
            f"`train`, got {str(folder)!r}."
        )
    numbers = {name: number for number, name in enumerate(classes)}
    inside = [name for name in files.names if "/" in name]
    strange = sorted({name.split("/")[0] for name in inside} - set(numbers))
    if strange:
        raise RefusedError(
            f"`source` must have images of the classes of {str(files.root)!r} in its "
            f"train folder as well, got none of {', '.join(map(repr, strange))}."
        )
    if not inside:
        raise RefusedError(
            f"`source` must hold images in {str(files.root / 'CLASS')!r}, got none."
        )
    if split == "train":
        _log_skipped(trained, names, classes)
    labels = tuple(numbers[name.split("/")[0]] for name in inside)
    return LabelledFiles(ImageFiles(files.root, tuple(inside)), labels, tuple(classes))


def _log_skipped(
    root: pathlib.Path, names: Sequence[str], classes: Sequence[str]
) -> None:
    empty = sorted(set(folder_names(root)) - set(classes))
    if empty:
        _LOGGER.warning(
            "Folders in %r without an image of their own are not classes: %s.",
            str(root),
            ", ".join(map(repr, empty)),
        )
    outside = sum("/" not in name for name in names)
    if outside:
        _LOGGER.warning(
            "Images in %r outside of class folders are skipped: %d.",
            str(root),
            outside,
        )
