"""Folders of own data, of ADE20K and of Cityscapes."""

import numpy as np
import pytest

from carafe_jax.data import (
    MissingSplitError,
    SegmentedImages,
    decode_image,
    open_segmented_images,
)
from carafe_jax.errors import RefusedError
from tests.data.sources.segmentation.folders import (
    found,
    save_image,
    save_labels,
    write_split,
)

LABELS = [[0, 1, 255], [1, 255, 0]]


def write_ade(root, *, validation=("ADE_val_1",)):
    for part, names in (("training", ("ADE_train_1",)), ("validation", validation)):
        for name in names:
            save_image(root / "images" / part / f"{name}.jpg")
            save_labels(
                root / "annotations" / part / f"{name}.png", [[0, 1, 2], [2, 1, 0]]
            )
    return root


OBJECT_INFO = "Idx\tRatio\tName\n1\t0.1\twall\n2 \t0.2\tbuilding, edifice \n"


def write_city(root, kind, values, *, city="train/ulm/ulm_0"):
    save_image(root / "leftImg8bit" / f"{city}_leftImg8bit.png")
    save_labels(root / "gtFine" / f"{city}_gtFine_{kind}.png", values)
    save_labels(root / "gtFine" / f"{city}_gtFine_instanceIds.png", values)
    return root


def test_own_data_have_images_label_maps_and_classes(tmp_path):
    root = write_split(tmp_path, ["b", "city/a"])
    write_split(root, ["c"], split="val")
    images = open_segmented_images(str(root), split="train")
    assert isinstance(images, SegmentedImages)
    assert images.classes == ("sky", "tall tree")
    assert images.palette is not None
    assert images.palette.tolist() == [[1, 2, 3], [40, 50, 60]]
    assert len(images) == 2
    assert images.name(1) == str(root / "train" / "images" / "city" / "a.jpg")
    assert images.size(1) == (2, 3)
    image, labels = images.open(1)
    assert decode_image(image).shape == (2, 3, 3)
    assert labels.dtype == np.uint8
    assert labels.tolist() == LABELS
    assert images.label_map(1).tolist() == LABELS
    assert found(images) == {
        "kept": "1 void class in the list of classes: pixels are ignored "
        "(Unlabelled (7))"
    }
    test = open_segmented_images(str(root), split="test")
    assert test.name(0) == str(root / "val" / "images" / "c.jpg")
    assert not test.findings


def test_first_test_folder_with_label_maps_is_the_test_set(tmp_path):
    write_split(tmp_path, ["c"], split="test")
    (tmp_path / "Val" / "images").mkdir(parents=True)
    images = open_segmented_images(str(tmp_path), split="test")
    assert images.name(0) == str(tmp_path / "test" / "images" / "c.jpg")
    with pytest.raises(MissingSplitError, match="images to train on"):
        open_segmented_images(str(tmp_path), split="train")


@pytest.mark.parametrize("split", ["val", "test"])
def test_set_can_be_chosen(tmp_path, split):
    for each in ("train", "val", "test"):
        write_split(tmp_path, [each], split=each)
    images = open_segmented_images(str(tmp_path), split="test", test_split=split)
    assert len(images) == 1
    assert images.name(0).endswith(f"{split}.jpg")
    train = open_segmented_images(str(tmp_path), split="train", test_split=split)
    assert train.name(0).endswith("train.jpg")


def test_chosen_test_set_must_have_label_maps(tmp_path):
    for each in ("train", "val"):
        write_split(tmp_path, split=each)
    rule = r"`test_split` must be None or a split .*\(val\), got 'test'"
    with pytest.raises(RefusedError, match=rule):
        open_segmented_images(str(tmp_path), split="test", test_split="test")


def test_training_images_alone_are_split_by_the_hash(tmp_path):
    root = write_split(tmp_path, list("abcdefghij"))
    save_image(root / "train" / "images" / "alone.png")
    parts = [
        open_segmented_images(str(root), split="train", test_fraction=0.3),
        open_segmented_images(str(root), split="test", test_fraction=0.3),
    ]
    names = [[part.name(i) for i in range(len(part))] for part in parts]
    assert sorted(names[0] + names[1]) == sorted(
        str(root / "train" / "images" / f"{name}.jpg") for name in "abcdefghij"
    )
    assert all(names)
    assert [len(part.findings) for part in parts] == [2, 0]


def test_a_single_image_cannot_be_split(tmp_path):
    root = write_split(tmp_path, ["a"])
    with pytest.raises(RefusedError, match="at least two images"):
        open_segmented_images(str(root), split="test")


@pytest.mark.parametrize("place", ["", ".."])
def test_ade20k_is_read_in_its_original_form(tmp_path, place):
    root = write_ade(tmp_path / "ADEChallengeData2016")
    (root / place / "objectInfo150.txt").write_text(OBJECT_INFO)
    images = open_segmented_images(str(root), split="train")
    assert images.classes == ("wall", "building")
    assert images.palette is None
    assert images.label_map(0).tolist() == [[255, 0, 1], [1, 0, 255]]
    assert "/images/training/" in images.name(0)
    test = open_segmented_images(str(root), split="test")
    assert "/images/validation/" in test.name(0)


def test_ade20k_without_its_list_of_classes_needs_another(tmp_path):
    root = write_ade(tmp_path / "ade")
    with pytest.raises(RefusedError, match=r"objectInfo150\.txt.*`classes_file`"):
        open_segmented_images(str(root), split="train")
    names = tmp_path / "names.txt"
    names.write_text("1 wall\n2 building\n")
    images = open_segmented_images(str(root), split="train", classes_file=str(names))
    assert images.classes == ("wall", "building")
    (root / "classes.txt").write_text("0 wall\n1 building\n")
    with pytest.raises(RefusedError, match=r"from 1, as 0 is unlabelled, got 'wall'"):
        open_segmented_images(str(root), split="train")


def test_ade20k_without_a_test_set_is_split_by_the_hash(tmp_path):
    root = write_ade(tmp_path, validation=())
    (root / "objectInfo150.txt").write_text(OBJECT_INFO)
    save_image(root / "images" / "training" / "ADE_train_2.jpg")
    save_labels(root / "annotations" / "training" / "ADE_train_2.png")
    counts = [len(open_segmented_images(str(root), split=s)) for s in ("train", "test")]
    assert counts == [1, 1]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("labelTrainIds", [[0, 18, 255], [7, 255, 0]]),
        ("labelIds", [[7, 33, 6], [20, 255, 7]]),
    ],
)
def test_cityscapes_has_19_classes_of_either_ids(tmp_path, kind, values):
    root = write_city(tmp_path, kind, values)
    write_city(root, kind, values, city="val/jena/jena_0")
    images = open_segmented_images(str(root), split="train")
    assert len(images.classes) == 19
    assert images.classes[18] == "bicycle"
    assert images.palette is not None
    assert images.palette[10].tolist() == [70, 130, 180]
    assert images.label_map(0).tolist() == [[0, 18, 255], [7, 255, 0]]
    test = open_segmented_images(str(root), split="test")
    assert test.name(0).endswith("leftImg8bit/val/jena/jena_0_leftImg8bit.png")


def test_cityscapes_without_label_maps_or_with_other_classes_is_refused(tmp_path):
    root = write_city(tmp_path, "polygons", [[0, 0, 0]] * 2)
    with pytest.raises(RefusedError, match=r"\*_gtFine_labelTrainIds\.png or"):
        open_segmented_images(str(root), split="train")
    with pytest.raises(RefusedError, match="`classes_file` must be None"):
        open_segmented_images(str(root), split="train", classes_file="classes.txt")


@pytest.mark.parametrize("name", ["images", "labels"])
def test_folders_of_other_layouts_are_refused(tmp_path, name):
    (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(RefusedError, match=r"SPLIT/images and SPLIT/labels.*ADE20K"):
        open_segmented_images(str(tmp_path), split="train")
    with pytest.raises(RefusedError, match="existing folder"):
        open_segmented_images(str(tmp_path / "no"), split="train")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": ""}, "`source` must be 'tfds:NAME' or"),
        ({"source": "gs://bucket/set"}, "must be a path of the file system"),
        ({"ignored_labels": (256,)}, r"`ignored_labels` must be ints in \[0, 255\]"),
        ({"split": "val"}, "`split` must be"),
        ({"test_split": "train"}, "`test_split` must be one of 'val', "),
        ({"test_fraction": 1.5}, "`test_fraction` must"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, options, message):
    source = str(write_split(tmp_path))
    with pytest.raises(RefusedError, match=message):
        open_segmented_images(**{"source": source, "split": "train", **options})
