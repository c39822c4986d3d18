"""Files of the splits, and the form of annotation files."""

import sys

import pytest

from carafe_jax.data import open_annotated_images
from carafe_jax.errors import MissingExtraError, RefusedError
from tests.data.sources.coco.files import (
    annotation,
    content,
    image,
    open_train,
    without,
    write_split,
)


def open_test(root, **options):
    return open_annotated_images(str(root), split="test", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', r"must be valid JSON, got: Expecting value: line 1 column 13"),
        ("[" * 100_000, "must be valid JSON, got: .*recursion"),
        ("[1, 2]", r"must hold a JSON object with `images`, .* got \[1, 2\]"),
        ('{"images": []}', "`categories`: must be a list, got the keys"),
        ('{"images": {"1": 2}}', "`images`: must be a list, got {'1': 2}"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, text, message):
    write_split(tmp_path, text, pictures=False)
    with pytest.raises(RefusedError, match=rf"instances_train\.json'.*{message}"):
        open_train(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": 5}, "`source` must be 'tfds:NAME' or the path of a .* got 5"),
        ({"split": "val"}, "`split` must be 'train' or 'test', got 'val'"),
        ({"masks": True}, "`masks` must be 'optional' or 'required', got True"),
        ({"classes": ()}, r"`classes` must be different names .* got \(\)"),
        ({"classes": "cat"}, "`classes` must be different names .* got 'cat'"),
        ({"classes": ["a", "a"]}, r"`classes` must be different names .* got \['a"),
        ({"classes": ["a", " "]}, r"`classes` must be .* blank, got \['a', ' '"),
        ({"classes": [1]}, r"`classes` must be different names .* got \[1\]"),
    ],
)
def test_unusable_arguments_are_refused(tmp_path, options, message):
    arguments = {"source": write_split(tmp_path, content()), "split": "test"}
    open_annotated_images(**arguments, classes=["cat"])
    with pytest.raises(RefusedError, match=message):
        open_annotated_images(**arguments | options)


def test_files_in_another_encoding_are_refused(tmp_path):
    write_split(tmp_path, content())
    file = tmp_path / "annotations" / "instances_train.json"
    file.write_bytes(file.read_text().replace("owl", "hibou à").encode("latin-1"))
    with pytest.raises(
        RefusedError, match="must be a text in UTF-8, got the byte 0xe0"
    ):
        open_train(tmp_path)


def test_byte_order_mark_is_skipped(tmp_path):
    write_split(tmp_path, content())
    file = tmp_path / "annotations" / "instances_train.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert len(open_train(tmp_path)) == 2


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, r"annotations\[1\]: must be an object with `image_id` and .* got 5"),
        ({"id": 1}, r"annotations\[1\]: must be an object with .* got {'id': 1}"),
        ({"id": 1, "image_id": 1, "caption": "A cat."}, r"annotations\[1\]: must be"),
        (without(annotation(7), "image_id"), r"annotations\[1\]: must be an object"),
        (without(annotation(7), "category_id"), "annotation 7: `category_id` must"),
    ],
)
def test_entries_that_are_no_annotations_are_refused(tmp_path, entry, message):
    write_split(tmp_path, content([entry]))
    with pytest.raises(RefusedError, match=message):
        open_train(tmp_path)


def test_annotations_may_come_before_images_and_have_numbers_as_floats(tmp_path):
    entries = content([annotation(7.0, image_id=2.0, category_id=3.0)])
    write_split(tmp_path, dict(reversed(entries.items())))
    images = open_train(tmp_path)
    assert images.objects(1).ids.tolist() == [7]
    assert images.objects(1).classes.tolist() == [1]


def test_objects_without_training_objects_are_refused(tmp_path):
    write_split(tmp_path, content() | {"annotations": []})
    with pytest.raises(RefusedError, match="`annotations`: must hold an object to tra"):
        open_train(tmp_path)


def test_test_set_may_have_no_objects(tmp_path):
    write_split(tmp_path, content())
    write_split(tmp_path, content() | {"annotations": []}, split="val")
    images = open_test(tmp_path, masks="required")
    assert len(images) == 2
    assert images.coco()["annotations"] == []


@pytest.mark.parametrize(
    ("splits", "pictures"),
    [
        (("train", "val", "test"), "val"),
        (("train", "validation", "test"), "validation"),
        (("train", "test"), "test"),
        (("train2017", "val2017"), "val2017"),
    ],
)
def test_test_set_is_the_first_of_val_validation_and_test(tmp_path, splits, pictures):
    for number, split in enumerate(splits, 1):
        write_split(
            tmp_path, content(images=[image(1), image(9 + number)]), split=split
        )
    assert open_test(tmp_path).name(0) == str(tmp_path / pictures / "1.png")
    assert open_train(tmp_path).image_id(1) == 10


def test_another_test_set_can_be_chosen(tmp_path):
    for number, split in enumerate(("train", "val2017", "test"), 1):
        images = [image(1), image(9 + number)]
        write_split(tmp_path, content(images=images), split=split)
    assert open_test(tmp_path, test_split="test").image_id(1) == 12
    with pytest.raises(
        RefusedError, match=r"`test_split` must .*\(val, test\), got 'v"
    ):
        open_test(tmp_path, test_split="validation")


def test_pictures_may_be_below_images_and_without_the_year(tmp_path):
    write_split(tmp_path, content(), split="train2017")
    (tmp_path / "images").mkdir()
    (tmp_path / "train2017").rename(tmp_path / "images" / "train")
    assert open_train(tmp_path).name(0) == str(tmp_path / "images" / "train" / "1.png")


def test_training_file_alone_is_split_by_a_hash(tmp_path):
    images = [image(number) for number in range(1, 21)]
    entries = [annotation(number, image_id=number) for number in range(2, 21)]
    write_split(tmp_path, content(entries, images=images))
    splits = [
        open_annotated_images(str(tmp_path), split=split, test_fraction=0.3)
        for split in ("train", "test")
    ]
    names = [images.name(index) for images in splits for index in range(len(images))]
    assert len({*names}) == 20
    assert 2 <= len(splits[1]) <= 10
    assert all(len(images.objects(i)) == 1 for images in splits for i in (0, 1))
    assert not any(images.findings for images in splits)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "got '.*' without an annotation file"),
        (("instances_val.json",), "annotations/instances_train.json, got .* without"),
        (
            ("instances_train.json", "instances_train2017.json"),
            "one annotation file for 'train', got 'instances_train.json', 'insta",
        ),
        (("captions_train.json",), "without an annotation file"),
    ],
)
def test_folders_without_their_files_are_refused(tmp_path, names, message):
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
    for name in names:
        (tmp_path / "annotations" / name).write_text("{}")
    with pytest.raises(RefusedError, match=rf"`source` must .*{message}"):
        open_annotated_images(str(tmp_path), split="train")


def test_missing_folders_are_refused(tmp_path):
    with pytest.raises(RefusedError, match="must be an existing folder"):
        open_annotated_images(str(tmp_path / "none"), split="train")
    write_split(tmp_path, content())
    (tmp_path / "train").rename(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="in 'train' or 'images/train', got neither"):
        open_annotated_images(str(tmp_path), split="train")
    with pytest.raises(RefusedError, match="'tfds:NAME' or the path of a folder"):
        open_annotated_images("", split="train")


def test_missing_pycocotools_names_the_extra(tmp_path, monkeypatch):
    write_split(tmp_path, content())
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    images = open_train(tmp_path)
    assert len(images.objects(0, masks=False)) == 1
    with pytest.raises(
        MissingExtraError, match=r"pip install 'carafe-jax\[detection\]'"
    ):
        images.objects(0)


def test_source_without_masks_is_refused_where_they_are_required(tmp_path):
    bare = [annotation(100, segmentation=[]), annotation(7, segmentation=[])]
    write_split(tmp_path, content() | {"annotations": bare})
    images = open_train(tmp_path)
    assert not images.has_masks
    assert images.objects(0).masks is None
    assert not images.objects(0).masked.any()
    assert not images.findings
    assert "segmentation" not in images.coco()["annotations"][0]
    with pytest.raises(RefusedError, match="`source` must have instance masks for 'tr"):
        open_annotated_images(str(tmp_path), split="train", masks="required")
