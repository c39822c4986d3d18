"""Images from a source of any kind, by its name: plain, or with what is known of them.

Labelled images have a class, annotated ones objects, segmented ones a class at each
pixel.
"""

import os
import pathlib
import re
from collections.abc import Collection, Sequence
from typing import Literal

from carafe_jax.arguments import (
    check,
    check_between_0_and_1,
    check_choice,
    check_class_names,
    check_label_values,
    check_positive,
)
from carafe_jax.data.sources.annotated import AnnotatedImages
from carafe_jax.data.sources.annotated_tfds import open_annotated_tfds
from carafe_jax.data.sources.builtin import open_builtin
from carafe_jax.data.sources.coco import open_coco_folder
from carafe_jax.data.sources.coco.layout import find_splits
from carafe_jax.data.sources.decoded import DecodedPhotographs
from carafe_jax.data.sources.folder import open_image_files
from carafe_jax.data.sources.images import LabelledImages, Photographs
from carafe_jax.data.sources.labelled_folder import open_labelled_folder
from carafe_jax.data.sources.segmentation import (
    open_segmented_folder,
    open_segmented_tfds,
)
from carafe_jax.data.sources.segmented import SegmentedImages
from carafe_jax.data.sources.splits import (
    TEST_FOLDERS,
    Split,
    TestSplit,
    split_folders,
)
from carafe_jax.data.sources.tfds import open_labelled_tfds, open_tfds
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.files import check_local

Source = str | os.PathLike[str]
"""Name of a source, or the path of its folder."""

_TFDS = "tfds:"
_KINDS = "'tfds:NAME' or the path of a folder"
_READ = re.compile(r"(train|val|validation|test)\d*|images|annotations", re.IGNORECASE)
_WITHOUT_MASKS = "A detector of boxes alone needs no masks: 'faster_rcnn'."


@no_type_check
def open_photographs(
    source: Source,
    *,
    split: Split,
    minimum_side: int,
    sufficient_side: int | None = None,
    test_split: TestSplit | None = None,
    test_fraction: float = 0.1,
    cache_bytes: int = 2**31,
) -> Photographs:
    """Open one split of a source of photographs; no file is opened yet.

    Args:
      source: "builtin" for photographs that ship with scikit-image and matplotlib
        (chelsea and rocket are held out), the path of a folder of images in any
        nesting, or "tfds:NAME" for a prepared data set of TensorFlow Datasets.
      split: Split to open, by the rule of `sources.splits`.
      minimum_side: Least length of a photograph's shorter side, in pixels. Smaller
        built-in photographs are left out; reading any other smaller one is an error,
        as for a damaged one (see `UnreadableImages`).
      sufficient_side: Sufficient length of the shorter side in pixels: larger
        photographs are reduced by an integer factor, never below it.
      test_split: Name of the test set: "val", "validation" or "test". None: by the
        rule.
      test_fraction: Fraction of a folder to hold out for the test set, in (0, 1), if no
        sub-folders split it.
      cache_bytes: Size of the cache of decoded photographs.

    Returns:
      Photographs by index, RGB in [0, 255], in a fixed order: for a folder, that of the
      relative paths.

    Raises:
      RefusedError: The source does not exist, or has no `test_split` or no image in
        this split.
      PhotographsTooSmallError: Every built-in photograph is too small.
      MissingExtraError: TensorFlow Datasets is needed and not installed.
    """
    check_positive("minimum_side", minimum_side)
    check(
        "sufficient_side",
        sufficient_side,
        f"be at least `minimum_side`, {minimum_side}",
        holds=sufficient_side is None or sufficient_side >= minimum_side,
    )
    _check_split(split, test_split, test_fraction)
    source = _checked_source(source, kinds=f"'builtin', {_KINDS}")
    if source == "builtin":
        rule = "be None for the source 'builtin'"
        check("test_split", test_split, rule, holds=test_split is None)
        return open_builtin(
            split=split, minimum_side=minimum_side, sufficient_side=sufficient_side
        )
    if source.startswith(_TFDS):
        name = source.removeprefix(_TFDS)
        images = open_tfds(name, split=split, test_split=test_split)
    else:
        check_local("source", source)
        folder = pathlib.Path(source).expanduser()
        images = open_image_files(
            folder, split=split, test_split=test_split, test_fraction=test_fraction
        )
    return DecodedPhotographs(images, minimum_side, sufficient_side, cache_bytes)


@no_type_check
def open_labelled_images(
    source: Source,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    test_fraction: float = 0.1,
) -> LabelledImages:
    """Open one split of a source of labelled images; no file is opened yet.

    Args:
      source: Path of a folder `SPLIT/CLASS/*.jpg` or `CLASS/*.jpg`, whose classes are
        numbered in the order of their names; or "tfds:NAME" for a prepared data set of
        TensorFlow Datasets with "image" and "label", such as "tfds:imagenet2012".
      split: Split to open, by the rule of `sources.splits`.
      test_split: Name of the test set, as in `open_photographs`.
      test_fraction: Fraction of the test set, as in `open_photographs`.

    Returns:
      Images by index, in a fixed order: for a folder, that of the relative paths.

    Raises:
      RefusedError: The source does not exist, has no `test_split` or no image in this
        split, or its test set has a class that the training set does not have.
      MissingExtraError: TensorFlow Datasets is needed and not installed.
    """
    _check_split(split, test_split, test_fraction)
    source = _checked_source(source)
    if source.startswith(_TFDS):
        name = source.removeprefix(_TFDS)
        return open_labelled_tfds(name, split=split, test_split=test_split)
    check_local("source", source)
    folder = pathlib.Path(source).expanduser()
    return open_labelled_folder(
        folder, split=split, test_split=test_split, test_fraction=test_fraction
    )


@no_type_check
def open_annotated_images(
    source: Source,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    test_fraction: float = 0.1,
    classes: Sequence[str] | None = None,
    masks: Literal["optional", "required"] = "optional",
) -> AnnotatedImages:
    """Open one split of a source of annotated images; no picture is opened yet.

    What is wrong in the annotations is an error, or is dropped, mended or kept by the
    table in `sources.treatments`, and counted in `findings`.

    Args:
      source: Path of a folder with COCO annotations,
        `annotations/instances_SPLIT.json`, beside the pictures in `SPLIT/`, for SPLIT
        train, and val, validation or test, also with a year (train2017); or "tfds:NAME"
        for a prepared data set of TensorFlow Datasets with "image" and "objects", such
        as "tfds:coco/2017", which has no masks.
      split: Split to open, by the rule of `sources.splits`: the test set is the first
        of val, validation and test with annotations; without one, a part of train.
      test_split: Name of the test set, as in `open_photographs`.
      test_fraction: Fraction of the test set, as in `open_photographs`.
      classes: Classes of the training set, to which those of the source are matched by
        name. None: those of its training annotations, which are read for it.
      masks: "required": a source without instance masks is an error.

    Returns:
      Images by index, in a fixed order: for a folder, that of the relative paths.

    Raises:
      MissingSplitError: The source has no such split.
      RefusedError: The source does not exist, or its annotations are invalid, have a
        class of test objects that training lacks, or lack masks that are required.
      MissingExtraError: TensorFlow Datasets is needed and not installed; or pycocotools
        is, to read masks.
    """
    _check_split(split, test_split, test_fraction)
    if classes is not None:
        check_class_names("classes", classes)
    check_annotated_source(source, test_split=test_split, masks=masks)
    source = os.fspath(source)
    if source.startswith(_TFDS):
        name = source.removeprefix(_TFDS)
        images = open_annotated_tfds(
            name, split=split, test_split=test_split, classes=classes
        )
    else:
        images = open_coco_folder(
            pathlib.Path(source).expanduser(),
            split=split,
            test_split=test_split,
            test_fraction=test_fraction,
            classes=classes,
        )
    if masks == "required":
        check_masks(images, source, split=split)
    return images


def check_masks(images: AnnotatedImages, source: Source, *, split: Split) -> None:
    """Raise if a split that needs instance masks has none.

    Args:
      images: The split, opened.
      source: Its source.
      split: Its name, for the error.
    """
    if not images.has_masks:
        raise RefusedError(
            f"`source` must have instance masks for {split!r}, got "
            f"{os.fspath(source)!r}, whose annotations have no valid `segmentation`. "
            f"{_WITHOUT_MASKS}"
        )


@no_type_check
def check_annotated_source(
    source: Source,
    *,
    test_split: TestSplit | None = None,
    masks: Literal["optional", "required"],
) -> None:
    """Raise if a source cannot be one of annotated images, before anything is read.

    Args:
      source: Source, as in `open_annotated_images`.
      test_split: As in `open_annotated_images`.
      masks: As in `open_annotated_images`.

    Raises:
      RefusedError: The folder or its annotation files do not exist; or masks are
        required of a data set of TensorFlow Datasets, which has none.
    """
    rule = "be 'optional' or 'required'"
    check("masks", masks, rule, holds=masks in ("optional", "required"))
    source = _checked_source(source)
    if not source.startswith(_TFDS):
        check_local("source", source)
        find_splits(pathlib.Path(source).expanduser(), test_split)
    elif masks == "required":
        raise RefusedError(
            f"`source` must have instance masks, got {source!r}: data sets of TFDS "
            "have boxes alone. Use the folder of the original data, with its "
            f"annotation files. {_WITHOUT_MASKS}"
        )


@no_type_check
def open_segmented_images(
    source: Source,
    *,
    split: Split,
    test_split: TestSplit | None = None,
    test_fraction: float = 0.1,
    classes_file: str | os.PathLike[str] | None = None,
    ignored_labels: Collection[int] = (),
    classes: Sequence[str] | None = None,
    image_feature: str = "image",
    label_feature: str = "segmentation_mask",
) -> SegmentedImages:
    """Open one split of a source of segmented images; the headers of files are read.

    What is wrong with files and classes is an error, or is dropped or kept by the table
    in `sources.segmentation.treatments`, and counted in `findings`.

    Args:
      source: Path of a folder with `SPLIT/images/NAME.jpg`, `SPLIT/labels/NAME.png` and
        `classes.txt`; of ADE20K (ADEChallengeData2016) or of Cityscapes; or "tfds:NAME"
        for a prepared data set of TensorFlow Datasets.
      split: Split to open, by the rule of `sources.splits`: the test set is the first
        of val, validation and test with label maps; without one, a part of train.
      test_split: Name of the test set, as in `open_photographs`.
      test_fraction: Fraction of the test set, as in `open_photographs`.
      classes_file: File with the index, the name and the colour of each class in a
        line: "3 Road 128 64 128". None: the list of the source.
      ignored_labels: Values in the label maps whose pixels are ignored, beside 255 and
        those of classes named void, unlabelled, unlabeled, ignore or ignored.
      classes: Classes of the training set, to which those of the source are matched by
        name. None: the classes of the source, in ascending order of their values.
      image_feature: Feature of the images in a data set of TFDS.
      label_feature: Feature of the label maps in a data set of TFDS.

    Returns:
      Images by index, in a fixed order: for a folder, that of the relative paths.

    Raises:
      MissingSplitError: The source has no such split.
      RefusedError: The source does not exist or is invalid.
      MissingExtraError: TensorFlow Datasets is needed and not installed.
    """
    _check_split(split, test_split, test_fraction)
    if classes is not None:
        check_class_names("classes", classes)
    source = _checked_source(source)
    check_label_values("ignored_labels", ignored_labels)
    ignored_labels = [*map(int, ignored_labels)]  # Integers of NumPy can overflow.
    file = None if classes_file is None else pathlib.Path(classes_file).expanduser()
    if source.startswith(_TFDS):
        return open_segmented_tfds(
            source.removeprefix(_TFDS),
            split=split,
            test_split=test_split,
            image_feature=image_feature,
            label_feature=label_feature,
            classes_file=file,
            ignored_labels=ignored_labels,
            classes=classes,
        )
    check_local("source", source)
    return open_segmented_folder(
        pathlib.Path(source).expanduser(),
        split=split,
        test_split=test_split,
        test_fraction=test_fraction,
        classes_file=file,
        ignored_labels=ignored_labels,
        classes=classes,
    )


def name_of_source(source: Source) -> str:
    """Return the name of a source; for a folder, without its parents.

    Args:
      source: Source, as in `open_photographs`.
    """
    source = os.fspath(source)
    if source.startswith(_TFDS):
        return source
    return pathlib.Path(os.path.abspath(os.path.expanduser(source))).name


def reads_from(source: Source, folder: pathlib.Path) -> bool:
    """Return whether other files in a folder could be mixed with those of a source.

    Those of a folder with splits are in the folders of the splits, `images` and
    `annotations`; those of any other are anywhere in it.

    Args:
      source: Source, as in `open_photographs`.
      folder: Folder, which need not exist. Links are followed.
    """
    source = os.fspath(source)
    root = pathlib.Path(source).expanduser().resolve()
    if source == "builtin" or source.startswith(_TFDS) or not root.is_dir():
        return False
    has_splits = split_folders(root) is not None or (root / "annotations").is_dir()
    inside = [x for x in root.iterdir() if _READ.fullmatch(x.name)]
    folder = folder.resolve()
    read = [x.resolve() for x in (inside if has_splits else [root])]
    return folder == root or any(folder.is_relative_to(x) for x in read)


@no_type_check
def _checked_source(source: Source, *, kinds: str = _KINDS) -> str:
    """Return a source as a string; raise unless it is one, and not empty."""
    holds = isinstance(source, str | os.PathLike) and os.fspath(source) != ""
    check("source", source, f"be {kinds}", holds=holds)
    return os.fspath(source)


def _check_split(split: str, test_split: str | None, test_fraction: float) -> None:
    check("split", split, "be 'train' or 'test'", holds=split in ("train", "test"))
    if test_split is not None:
        check_choice("test_split", test_split, TEST_FOLDERS)
    check_between_0_and_1("test_fraction", test_fraction)
