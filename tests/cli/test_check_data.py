"""The subcommand `check-data`."""

import json
import sys
import types
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carafe_jax.cli import check_data
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.classification.data_check_options import (
    DataCheckOptions as ClassificationOptions,
)
from carafe_jax.tasks.detection.data import DetectionData, DetectionDataset
from carafe_jax.tasks.detection.data_check_options import (
    DataCheckOptions as DetectionOptions,
)
from carafe_jax.tasks.inpainting.data_check_options import (
    DataCheckOptions as InpaintingOptions,
)
from carafe_jax.tasks.segmentation.data_check_options import (
    DataCheckOptions as SegmentationOptions,
)
from tests.data.sources.coco.files import annotation, content, image, write_split
from tests.tasks.detection.drawn_folder import drawn_folder
from tests.tasks.runs import call


def check(source, output, task, **options):
    """Return the exit status, the printed text and the report."""
    config = check_data.CheckData(
        source=str(source), output=output, task=task, height=40, **options
    )
    status, text = call(check_data.main, config, width=200)
    return status, text, json.loads((output / "report.json").read_text())


def cells(text, first):
    """Return the cells of the first row of a table that begins with a text."""
    rows = (line.split("│")[1:-1] for line in text.splitlines() if "│" in line)
    return next(
        [cell.strip() for cell in row[1:]] for row in rows if row[0].strip() == first
    )


@pytest.fixture
def annotated(tmp_path):
    entries = [
        annotation(101, category_id=3),
        annotation(102, iscrowd=1),
        annotation(103, bbox=[2, 2, 0, 0]),
        annotation(104, image_id=3),
    ]
    images = [image(1), image(2), image(3, height=10), image(4)]
    root = write_split(tmp_path / "data", content(entries, images=images))
    Image.new("RGB", (40, 10)).save(root / "train" / "3.png")
    (root / "train" / "4.png").write_bytes(b"no image")
    return write_split(root, content(), split="val")


def test_annotated_images_are_counted_and_drawn(annotated, tmp_path):
    output = tmp_path / "report"
    status, text, report = check(annotated, output, "detection")
    assert status == 1
    refused = "must have training photographs with objects, got 4 photographs: 0 phot"
    assert f"Refused in training: `source` {refused}" in text
    (error,) = report["training"]["refused"]
    assert error in text
    assert report["test"]["refused"] == []
    assert cells(text, "training") == [
        *("4", "not checked", "40 x 10", "40 x 30", "40 x 30")
    ]
    assert cells(text, "cat") == ["2", "2", "1", "1"]
    assert cells(text, "owl") == ["1", "1", "0", "0"]
    assert "Dropped in training: 1 box without area (annotation 103 of 1.png)" in text
    assert "Not drawn: " in text
    training = report["training"]
    assert training["objects"] == 3
    assert training["crowds"] == 1
    assert training["images_without_objects"] == 2
    assert training["objects_per_image"] == {"median": 0.5, "95 %": 2, "largest": 2}
    assert report["test"]["classes"]["cat"] == {"images": 1, "objects": 1}
    with Image.open(output / "sheet.png") as sheet:
        colours = np.asarray(sheet).reshape(-1, 3)
    # Boxes and masks are in colour.
    assert (np.ptp(colours.astype(int), axis=1) > 100).sum() > 50


def drop_annotations(entries):
    del entries["annotations"][:]


def make_crowds(entries):
    for entry in entries["annotations"]:
        entry["iscrowd"] = 1


def drop_masks(entries):
    for entry in entries["annotations"]:
        del entry["segmentation"]


def add_class(entries):
    entries["categories"].append({"id": 9, "name": "green"})
    entries["annotations"][0]["category_id"] = 9


def repeat_object(entries):
    first = entries["annotations"][0]
    entries["annotations"] += [first | {"id": 1000 + i} for i in range(100)]


@pytest.mark.parametrize(
    ("split", "edit", "words"),
    [
        ("val", drop_annotations, "2 photographs with none"),
        ("val", make_crowds, "test photographs with objects, without which"),
        ("val", drop_masks, "must have instance masks for 'test', got"),
        ("val", add_class, "must be classes of the training set ('red', 'blue')"),
        ("train", repeat_object, "`max_objects` must be at least 102"),
        ("train", drop_annotations, "must hold an object to train on, got none"),
    ],
)
def test_what_a_run_refuses_is_listed_with_its_error(tmp_path, split, edit, words):
    source = drawn_folder(tmp_path / "data")
    data = DetectionData(source=str(source), short_side=64, long_side=64)
    DetectionDataset(data, masks=True).check_readable()
    path = source / "annotations" / f"instances_{split}.json"
    entries = json.loads(path.read_text())
    edit(entries)
    path.write_text(json.dumps(entries))
    with pytest.raises(RefusedError) as refused:
        DetectionDataset(data, masks=True).check_readable()
    assert words in str(refused.value)
    status, text, report = check(source, tmp_path / "report", "detection", pictures=1)
    name = "training" if split == "train" else "test"
    assert status == 1
    assert f"Refused in {name}: {refused.value}" in text
    assert report[name]["refused"] == [str(refused.value)]


def test_source_that_no_run_can_open_is_refused_with_its_error(tmp_path):
    source = drawn_folder(tmp_path / "data")
    path = source / "annotations" / "instances_train.json"
    path.write_text(path.read_text().replace('"red"', '" "'))
    with pytest.raises(RefusedError, match="category 3: `name` must not be blank, got"):
        check(source, tmp_path / "report", "detection")


def test_photographs_that_training_leaves_out_are_counted(tmp_path):
    source = drawn_folder(tmp_path / "data")
    path = source / "annotations" / "instances_train.json"
    entries = json.loads(path.read_text())
    del entries["annotations"][:2]
    path.write_text(json.dumps(entries))
    status, text, report = check(source, tmp_path / "report", "detection", pictures=1)
    words = "1 photograph without objects to train on and 0 with a side under 32 pixels"
    assert status == 0
    assert f"Left out in training: {words}" in text
    assert report["training"]["left_out"] == [words]


def test_one_split_is_checked_without_the_other(tmp_path):
    source = write_split(tmp_path / "data", content(), split="val")
    status, text, report = check(source, tmp_path / "report", "detection")
    assert status == 0
    assert cells(text, "test")[0] == "2"
    assert "No training images: the source serves the evaluation of a run" in text
    assert {*report} == {"source", "task", "test"}
    with pytest.raises(RefusedError, match="without an annotation file"):
        check(tmp_path, tmp_path / "report", "detection")


def test_decoding_finds_unreadable_images(annotated, tmp_path):
    status, text, report = check(
        annotated, tmp_path / "report", "detection", decode=True
    )
    assert status == 1
    assert cells(text, "training")[:2] == ["4", "1"]
    assert "4.png (cannot identify image file)" in text
    assert report["training"]["unreadable"] == {
        str(annotated / "train" / "4.png"): "cannot identify image file"
    }


def test_objects_are_counted_for_the_limit_of_a_run(tmp_path):
    source = drawn_folder(tmp_path / "data")
    path = source / "annotations" / "instances_train.json"
    entries = json.loads(path.read_text())
    repeat_object(entries)
    path.write_text(json.dumps(entries))
    allowed = DetectionOptions(max_objects=102)
    _, _, report = check(source, tmp_path / "allowed", "detection", detection=allowed)
    assert (report["training"]["refused"], report["training"]["left_out"]) == ([], [])
    cut = DetectionOptions(truncate_objects=True)
    status, _, report = check(source, tmp_path / "cut", "detection", detection=cut)
    assert status == 0
    assert report["training"]["refused"] == []
    assert report["training"]["left_out"] == [
        "the smallest objects of 1 photograph with more than 100: 2 objects"
    ]


def test_options_of_another_task_are_refused(tmp_path):
    config = check_data.CheckData(
        source="data",
        output=tmp_path / "report",
        task="classification",
        detection=DetectionOptions(max_objects=200),
    )
    with pytest.raises(RefusedError, match=r"`detection.max_objects` for .* 'classif"):
        call(check_data.main, config)


def test_labelled_images_are_counted_by_class(tmp_path):
    source = tmp_path / "data"
    for split, count in (("train", 3), ("val", 1)):
        for name in ("dark[1]", "light"):
            (source / split / name).mkdir(parents=True)
            for number in range(count):
                size = (20 + 10 * number, 24)
                Image.new("RGB", size).save(source / split / name / f"{number}.png")
    (source / "train" / "light" / "9.png").write_bytes(b"no image")
    status, text, report = check(source, tmp_path / "report", "classification")
    assert status == 1
    assert cells(text, "training") == ["7", "1", "20 x 24", "30 x 24", "40 x 24"]
    assert cells(text, "dark[1]") == ["3", "1"]
    assert report["test"]["classes"] == {
        "dark[1]": {"images": 1},
        "light": {"images": 1},
    }
    assert report["training"]["findings"] == []
    assert (tmp_path / "report" / "sheet.png").exists()


def test_labelled_images_of_the_chosen_split_are_counted(tmp_path):
    for split, count in (("train", 1), ("val", 1), ("test", 2)):
        (tmp_path / "data" / split / "dark").mkdir(parents=True)
        for number in range(count):
            path = tmp_path / "data" / split / "dark" / f"{number}.png"
            Image.new("RGB", (20, 24)).save(path)
    options = {"classification": ClassificationOptions(test_split="test")}
    source, output = tmp_path / "data", tmp_path / "report"
    _, _, report = check(source, output, "classification", **options)
    assert report["test"]["classes"] == {"dark": {"images": 2}}


def test_wrong_test_split_of_tfds_is_refused_by_its_option(tmp_path, monkeypatch):
    module: Any = types.ModuleType("tensorflow_datasets")
    module.decode = types.SimpleNamespace(SkipDecoding=lambda: None)
    module.data_source = lambda name, **_: {"train": [{}], "test": [{}]}
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)
    config = check_data.CheckData(
        source="tfds:birds",
        output=tmp_path / "report",
        task="segmentation",
        segmentation=SegmentationOptions(test_split="val"),
    )
    rule = r"`segmentation.test_split` must be .* of `source` \(test\), got 'val'"
    with pytest.raises(RefusedError, match=rule):
        call(check_data.main, config)


def test_photographs_are_counted(tmp_path):
    source = tmp_path / "data"
    for split in ("train", "test"):
        (source / split).mkdir(parents=True)
        Image.new("RGB", (300, 1)).save(source / split / "wide.png")
    status, text, report = check(source, tmp_path / "report", "adversarial_inpainting")
    assert status == 0
    assert cells(text, "test") == ["1", "0", "300 x 1", "300 x 1", "300 x 1"]
    assert report["task"] == "adversarial-inpainting"
    assert "classes" not in report["training"]


def test_photographs_smaller_than_a_crop_are_unreadable(tmp_path):
    source = tmp_path / "data"
    for split in ("train", "test"):
        for side in (9, 10):
            (source / split).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (side, 12)).save(source / split / f"{side}.png")
    options = InpaintingOptions(crop_size=10)
    output = tmp_path / "report"
    status, _, report = check(source, output, "inpainting", inpainting=options)
    assert status == 1
    for split in ("train", "test"):
        found = report["training" if split == "train" else split]["unreadable"]
        reason = "9 x 12 pixels, a side under 10"
        assert found == {str(source / split / "9.png"): reason}


def test_built_in_photographs_are_checked(tmp_path):
    _, text, _ = check("builtin", tmp_path, "inpainting", decode=True, pictures=1)
    assert cells(text, "test")[:2] == ["2", "0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "detektion"}, "`task` must be one of 'class.*, got 'detektion'"),
        ({"pictures": 0}, "`pictures` must be positive, got 0"),
        ({"height": 2}, "`height` must be at least 32, got 2"),
        ({"test_fraction": 1.0}, "`test_fraction` must lie between 0 and 1"),
    ],
)
def test_invalid_options_are_refused(tmp_path, options, message):
    with pytest.raises(RefusedError, match=message):
        check_data.CheckData(
            **{"source": "data", "output": tmp_path, "task": "detection"} | options
        )
