"""Annotated images of a folder with COCO annotation files."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from carafe_jax.data.decoding import UnreadableImageError, open_image, upright_size
from carafe_jax.data.sources.coco.annotation_file import (
    read_annotation_file,
    read_categories,
)
from carafe_jax.data.sources.coco.annotations import objects_of
from carafe_jax.data.sources.coco.categories import match_categories
from carafe_jax.data.sources.coco.layout import SplitFiles, find_splits
from carafe_jax.data.sources.coco.pictures import Pictures, find_pictures
from carafe_jax.data.sources.findings import Findings
from carafe_jax.data.sources.object_table import ObjectTable
from carafe_jax.data.sources.splits import (
    MissingSplitError,
    Split,
    TestSplit,
    split_names,
)
from carafe_jax.data.sources.tabled import TabledImages
from carafe_jax.errors import RefusedError
from carafe_jax.texts import printable


@dataclasses.dataclass(frozen=True)
class AnnotatedFiles(TabledImages):
    """Picture files by index, and their objects."""

    root: pathlib.Path

    def name(self, index: int) -> str:
        """Return the path of the file of this index, in printable form."""
        return printable(self.root / self.table.name(index))

    def open(self, index: int) -> Image.Image:
        """Open the file of this index; its pixels are not decoded."""
        path = self.root / self.table.name(index)
        image = open_image(path)
        height, width = self.size(index)
        try:
            found = upright_size(image)
        except UnreadableImageError:
            image.close()
            raise
        if found != (width, height):
            stored = image.size
            image.close()
            turned = f", stored as {_sides(stored)}" if stored != found else ""
            raise UnreadableImageError(
                f"it is {_sides(found)} upright{turned}, and the annotation file has "
                f"{_sides((width, height))}",
                str(path),
            )
        return image


def open_coco_folder(
    folder: pathlib.Path,
    *,
    split: Split,
    test_split: TestSplit | None,
    test_fraction: float,
    classes: Sequence[str] | None,
) -> AnnotatedFiles:
    """Read the annotations of one split of a folder; no picture is opened.

    Args:
      folder: Folder of the data set, as in `layout.find_splits`.
      split: Split to read. With annotations for training alone, it is a part of these
        images, by the rule of `splits`.
      test_split: Name of the test set. None: the first that has annotations.
      test_fraction: Fraction of the test set, as in `split_names`.
      classes: Classes of training. None: those of the training file, if there is one.

    Returns:
      Pictures in the order of their relative paths.

    Raises:
      MissingSplitError: There are no annotations for training, but for the test.
      RefusedError: The folder or an annotation file is invalid (see `treatments`), or
        has no objects to train on.
    """
    files = find_splits(folder, test_split)
    is_hashed = "test" not in files
    if split not in files and not is_hashed:
        raise MissingSplitError(
            "`source` must have annotations/instances_train.json, got "
            f"{str(folder)!r} without."
        )
    findings = Findings()
    if classes is None and split == "test" and "train" in files and not is_hashed:
        classes = _classes_of(files["train"])
    chosen = files["train" if is_hashed else split]
    file = read_annotation_file(chosen.annotations)
    # Each finding about the file belongs to one split.
    whole = Findings() if is_hashed and split == "test" else findings
    pictures = all_pictures = find_pictures(file, chosen.pictures, whole)
    annotated = np.unique(file.columns.column("category_ids")[file.rows])
    categories = match_categories(
        file, used=set(annotated.tolist()), classes=classes, findings=whole
    )
    others = np.zeros(0, np.int64)
    if is_hashed:
        pictures = _part(all_pictures, split, test_fraction, folder)
        listed = all_pictures.ids
        if split == "test":
            listed = np.unique(file.columns.column("image_ids")[file.rows])
        others = np.setdiff1d(listed, pictures.ids)
    columns = objects_of(
        file, pictures=pictures, others=others, categories=categories, findings=findings
    )
    findings.log(printable(str(chosen.annotations)))
    if split == "train" and not len(columns["bbox"]):
        raise file.error("`annotations`", "must hold an object to train on, got none")
    table = ObjectTable.of(
        pictures.names,
        columns,
        classes=categories.classes,
        category_ids=categories.ids,
    )
    return AnnotatedFiles(table, findings, chosen.pictures)


def _part(
    pictures: Pictures, split: Split, test_fraction: float, folder: pathlib.Path
) -> Pictures:
    names = split_names(pictures.names, split, test_fraction=test_fraction)
    if not names:
        raise RefusedError(
            "`source` must hold at least two images, one of them for the test, got "
            f"{str(folder)!r} with one."
        )
    return pictures.chosen(names)


def _classes_of(files: SplitFiles) -> tuple[str, ...]:
    """Return the classes of a file whose annotations are not read."""
    file = read_categories(files.annotations)
    categories = match_categories(file, used=(), classes=None, findings=Findings())
    return categories.classes


def _sides(size: tuple[int, int]) -> str:
    width, height = size
    return f"{width} x {height}"
