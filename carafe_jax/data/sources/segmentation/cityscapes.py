"""Layout of Cityscapes, with its 19 classes of evaluation.

`leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`, and `gtFine/SPLIT/CITY/` with
`*_gtFine_labelTrainIds.png`, which a script of the data set makes, or else with
`*_gtFine_labelIds.png`, whose other classes are ignored.
"""

import pathlib

from carafe_jax.data.sources.segmentation.label_table import ClassEntry
from carafe_jax.data.sources.segmentation.layout import Layout, SplitFolders
from carafe_jax.data.sources.splits import TEST_FOLDERS, named_folders
from carafe_jax.errors import RefusedError

_TRAIN_IDS, _IDS = "_gtFine_labelTrainIds", "_gtFine_labelIds"
# In the order of their training ids: id, name and colour.
_CLASSES = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
_ALL_IDS = frozenset(range(34))


def find_cityscapes(
    folder: pathlib.Path, classes_file: pathlib.Path | None
) -> Layout | None:
    """Return the layout of a folder with `leftImg8bit` and `gtFine`.

    Args:
      folder: Folder of the data set.
      classes_file: None: the classes are known.

    Raises:
      RefusedError: A file of classes is given, or no label map is found.
    """
    images, labels = folder / "leftImg8bit", folder / "gtFine"
    if not (images.is_dir() and labels.is_dir()):
        return None
    if classes_file is not None:
        raise RefusedError(
            "`classes_file` must be None for Cityscapes, whose classes are known, got "
            f"{str(classes_file)!r}."
        )
    # The label maps of all splits are of one kind.
    kinds = (_TRAIN_IDS, _IDS)
    kind = next((x for x in kinds if any(labels.glob(f"*/*/*{x}.png"))), None)
    if kind is None:
        raise RefusedError(
            f"`source` must have label maps *{_TRAIN_IDS}.png or *{_IDS}.png in "
            f"SPLIT/CITY of {str(labels)!r}, got none."
        )
    of_images = named_folders(images, ("train", *TEST_FOLDERS))
    of_labels = named_folders(labels, ("train", *TEST_FOLDERS))
    named = {
        name: SplitFolders(path, of_labels[name], "_leftImg8bit", kind)
        for name, path in of_images.items()
        if name in of_labels
    }
    has_ids = kind == _IDS
    entries = [
        ClassEntry(id_ if has_ids else train_id, name, colour)
        for train_id, (id_, name, colour) in enumerate(_CLASSES)
    ]
    others = _ALL_IDS.difference(entry.value for entry in entries)
    ignored = others if has_ids else frozenset[int]()
    return Layout(named, entries, "Cityscapes", ignored)
