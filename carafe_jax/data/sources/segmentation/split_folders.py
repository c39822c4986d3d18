"""Layout of any data: `SPLIT/images/NAME.jpg`, `SPLIT/labels/NAME.png`, `classes.txt`.

CamVid is published in this form, among others. SPLIT is `train`, `val`, `validation` or
`test`.
"""

import pathlib

from carafe_jax.data.sources.segmentation.label_table import read_classes_file
from carafe_jax.data.sources.segmentation.layout import Layout, SplitFolders
from carafe_jax.data.sources.splits import TEST_FOLDERS, named_folders
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable


def find_split_folders(
    folder: pathlib.Path, classes_file: pathlib.Path | None
) -> Layout | None:
    """Return the layout of a folder with `SPLIT/images` and `SPLIT/labels`.

    Args:
      folder: Folder of the data set.
      classes_file: List of the classes. None: `classes.txt` in the folder.

    Raises:
      RefusedError: The list of classes is missing or invalid.
    """
    found = named_folders(folder, ("train", *TEST_FOLDERS))
    labelled = {
        name: SplitFolders(path / "images", path / "labels")
        for name, path in found.items()
        if (path / "images").is_dir() and (path / "labels").is_dir()
    }
    if not labelled:
        return None
    path = classes_file or folder / "classes.txt"
    if not path.is_file():
        raise RefusedError(
            "`source` must have a file classes.txt with a line such as '3 Road 128 64 "
            f"128' for each class, or `classes_file` name one, got {str(path)!r}, "
            "which does not exist."
        )
    return Layout(labelled, read_classes_file(path), repr(printable(path)))
