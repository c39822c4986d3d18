"""Segmented images of a folder, in one of several layouts."""

import pathlib
from collections.abc import Collection, Sequence

from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.segmentation.ade20k import find_ade20k
from carafe_jax.data.sources.segmentation.cityscapes import find_cityscapes
from carafe_jax.data.sources.segmentation.files import PairedFiles, find_pairs
from carafe_jax.data.sources.segmentation.label_table import make_label_table
from carafe_jax.data.sources.segmentation.layout import (
    FindLayout,
    Layout,
    folders_by_split,
)
from carafe_jax.data.sources.segmentation.pairs import SegmentedPairs, check_pairs
from carafe_jax.data.sources.segmentation.split_folders import find_split_folders
from carafe_jax.data.sources.splits import (
    MissingSplitError,
    Split,
    TestSplit,
    split_names,
)
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable

_LAYOUTS: tuple[FindLayout, ...] = (find_ade20k, find_cityscapes, find_split_folders)
_FORMS = (
    "SPLIT/images and SPLIT/labels, for SPLIT train, val or test; the folders "
    "images/training and annotations/training of ADE20K; or leftImg8bit and gtFine of "
    "Cityscapes"
)


def open_segmented_folder(
    folder: pathlib.Path,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    test_fraction: float,
    classes_file: pathlib.Path | None,
    ignored_labels: Collection[int],
    classes: Sequence[str] | None,
) -> SegmentedPairs:
    """Open one split of a folder; the headers of its files are read.

    Args:
      folder: Folder of the data set.
      split: Split to open. With training images alone, it is a part of these, by the
        rule of `splits`.
      test_split: Name of the test set. None: the first that exists.
      test_fraction: Fraction of the test set, as in `split_names`.
      classes_file: List of the classes. None: that of the layout.
      ignored_labels: Further values of label maps that are ignored.
      classes: Classes of training, as in `make_label_table`.

    Returns:
      Images in the order of their relative paths.

    Raises:
      MissingSplitError: There are no images for training, but for the test.
      RefusedError: The folder has none of the layouts or no `test_split`, or is
        invalid (see `treatments`).
    """
    layout = _find_layout(folder, classes_file)
    folders = folders_by_split(layout.folders, test_split)
    is_hashed = "test" not in folders
    if split not in folders and not is_hashed:
        raise MissingSplitError(
            f"`source` must have images to train on, got {str(folder)!r} without."
        )
    findings = Findings()
    # Findings that both splits share are reported with the training split alone.
    is_second = split == "test" and "train" in folders
    label_table = make_label_table(
        layout.entries,
        origin=layout.origin,
        ignored_labels=[*ignored_labels, *layout.ignored],
        classes=classes,
        findings=Findings() if is_second else findings,
    )
    pairs = find_pairs(
        folders["train" if is_hashed else split],
        Findings() if is_second and is_hashed else findings,
    )
    if is_hashed:
        pairs = _part(pairs, split, test_fraction, folder)
    images = check_pairs(pairs, label_table=label_table, findings=findings)
    findings.log(printable(pairs.folders.images))
    return images


def _find_layout(folder: pathlib.Path, classes_file: pathlib.Path | None) -> Layout:
    if not folder.is_dir():
        raise RefusedError(
            f"`source` must be an existing folder with {_FORMS}, got {str(folder)!r}."
        )
    for find in _LAYOUTS:
        if (layout := find(folder, classes_file)) is not None:
            return layout
    raise RefusedError(
        f"`source` must have {_FORMS}, got {str(folder)!r} with none of these."
    )


def _part(
    pairs: PairedFiles, split: Split, test_fraction: float, folder: pathlib.Path
) -> PairedFiles:
    names = split_names(pairs.images, split, test_fraction=test_fraction)
    if not names:
        raise RefusedError(
            "`source` must hold at least two images, one of them for the test, got "
            f"{str(folder)!r} with one."
        )
    return pairs.chosen(names)
