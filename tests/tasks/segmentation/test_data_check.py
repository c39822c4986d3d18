"""The report of `check-data` on segmented images."""

import json

import numpy as np
import pytest
from PIL import Image

from carafe_jax.cli import check_data
from carafe_jax.errors import RefusedError
from carafe_jax.tasks import registry
from carafe_jax.tasks.data_check import SegmentedSplit
from carafe_jax.tasks.segmentation.data_check import open_splits
from carafe_jax.tasks.segmentation.data_check_options import DataCheckOptions
from tests.data.sources.segmentation.folders import save_labels, write_split
from tests.tasks.runs import call

VALUES = np.zeros((30, 40), np.uint8)
VALUES[:15, :20] = 2
VALUES[15:, :20] = 7


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder of which a fourth is tall tree, a fourth ignored and half sky."""
    task = registry.RegisteredTask("segmentation", "SegmentationRun", "Segment.")
    monkeypatch.setitem(registry.TASKS, "segmentation", task)
    root = write_split(tmp_path / "data", ["a", "b"], values=VALUES)
    return write_split(root, ["t"], split="val", values=VALUES[:10])


def check(source, output, **options):
    """Return the exit status, the printed text and the report."""
    config = check_data.CheckData(
        source=str(source), output=output, task="segmentation", height=40, **options
    )
    status, text = call(check_data.main, config, width=200)
    return status, text, json.loads((output / "report.json").read_text())


def rows(text, first):
    """Return the cells of the rows of tables that begin with a text."""
    cells = (line.split("│")[1:-1] for line in text.splitlines() if "│" in line)
    return [[x.strip() for x in row[1:]] for row in cells if row[0].strip() == first]


def test_pixels_of_each_class_are_counted(source, tmp_path):
    status, text, report = check(source, tmp_path / "report")
    assert status == 0
    assert rows(text, "training") == [
        ["2", "0", "40 x 30", "40 x 30", "40 x 30"],
        ["1,800", "25.0 %", "4.4 %"],
    ]
    assert rows(text, "test")[1] == ["400", "0.0 %", "none"]
    assert rows(text, "sky") == [["2", "66.67 %", "1", "50.00 %"]]
    assert rows(text, "tall tree") == [["2", "33.33 %", "1", "50.00 %"]]
    assert "Kept in training: 1 void class in the list of classes" in text
    training = report["training"]
    assert training["pixels"]["labelled"] == 1800
    assert training["pixels"]["ignored_fraction"] == 0.25
    assert training["pixels"]["padding_fraction"] == pytest.approx(0.044, abs=1e-3)
    assert training["classes"]["tall tree"] == {
        "images": 2,
        "pixels": 600,
        "pixel_fraction": pytest.approx(1 / 3),
    }
    assert report["test"]["pixels"]["padding_fraction"] is None


def test_label_maps_with_unknown_values_are_listed(source, tmp_path):
    save_labels(source / "train" / "labels" / "b.png", VALUES + 1)
    status, text, report = check(source, tmp_path / "report")
    assert status == 1
    name = str(source / "train" / "images" / "b.jpg")
    assert list(report["training"]["unreadable"]) == [name]
    assert "its values must be classes or ignored, got 1, 3, 8" in text
    assert report["training"]["classes"]["sky"]["images"] == 1


def test_labels_are_read_as_by_a_run_with_the_same_options(source, tmp_path):
    for split in ("train", "val"):
        for path in (source / split / "labels").iterdir():
            save_labels(path, VALUES[: 10 if split == "val" else 30] + 1)
    listed = tmp_path / "listed.txt"
    listed.write_text("1 sea 1 2 3\n3 sand 4 5 6\n")
    options = DataCheckOptions(classes_file=str(listed), ignored_labels=(8,))
    status, _, report = check(source, tmp_path / "report", segmentation=options)
    assert status == 0
    classes = report["training"]["classes"]
    assert {name: found["pixels"] for name, found in classes.items()} == {
        "sea": 1200,
        "sand": 600,
    }
    assert report["training"]["pixels"]["ignored"] == 600


def test_options_that_break_a_rule_are_refused():
    with pytest.raises(RefusedError, match=r"`ignored_labels` must be ints in"):
        DataCheckOptions(ignored_labels=(256,))


def test_damaged_images_are_found_by_decoding(source, tmp_path):
    path = source / "train" / "images" / "b.jpg"
    Image.effect_noise((40, 30), 99).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert check(source, tmp_path / "report")[0] == 0
    status, _, report = check(source, tmp_path / "report", decode=True)
    assert status == 1
    assert list(report["training"]["unreadable"]) == [str(path)]


def test_refused_splits_are_reported(source, tmp_path):
    Image.new("RGB", (40, 10)).save(source / "val" / "labels" / "t.png")
    status, text, report = check(source, tmp_path / "report")
    assert status == 1
    assert "Refused in test: `source` must have label maps of one channel" in text
    assert "channels RGB" in report["test"]["refused"][0]


def test_sheet_shows_images_label_maps_and_legends(source, tmp_path):
    check(source, tmp_path / "report")
    with Image.open(tmp_path / "report" / "sheet.png") as sheet:
        pixels = np.asarray(sheet).reshape(-1, 3)
    # White under the colours with 60 % opacity, and the legend.
    for colour, mixed in (
        ((1, 2, 3), (103, 103, 104)),
        ((40, 50, 60), (126, 132, 138)),
    ):
        assert (pixels == mixed).all(1).sum() > 500
        assert (pixels == colour).all(1).sum() > 100


def test_pictures_of_every_shape_are_drawn(source):
    splits = open_splits(str(source), test_fraction=0.1, options=DataCheckOptions())
    split = splits.opened["training"]
    assert isinstance(split, SegmentedSplit)
    picture, caption = split.draw(1, height=60)
    assert picture.height == 60
    assert picture.width > 2 * 80
    assert caption == "b.jpg: 2 classes, 25.0 % ignored"
    low, _ = splits.opened["test"].draw(0, height=60)  # 120 x 30, by a legend of 60.
    assert low.height == 60
