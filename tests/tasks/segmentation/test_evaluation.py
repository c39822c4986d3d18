"""Evaluation of a trained segmentation network by the command."""

import csv
import dataclasses
import json

import pytest
from PIL import Image

from carafe_jax.cli.evaluate import Evaluate, main
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.segmentation import SegmentationData, load
from carafe_jax.tasks.segmentation.evaluation_options import EvaluationOptions
from carafe_jax.tasks.tables import read_table
from tests.tasks.runs import call
from tests.tasks.segmentation.drawn_folder import CLASSES, drawn_folder

pytestmark = pytest.mark.slow


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_evaluation_agrees_with_the_table_of_the_run(finished):
    run = finished.workdir
    config = Evaluate(
        model=run,
        which="last",
        segmentation=EvaluationOptions(sample_rows=2),
        batch_size=2,
    )
    status, text = call(main, config)
    assert status == 0
    assert "3 test photographs of pictures, step 4" in text
    assert "Absent from labels and predictions, with an IoU of 0: boat." in text
    output = run / "evaluation"
    results = read_table(output / "quality.csv")
    assert results.keys() == read_table(run / "table.csv").keys()
    for name, value in read_table(run / "table.csv")["UperNet R18"].items():
        assert results["UperNet R18"][name] == pytest.approx(value, abs=1e-6)
    assert rows_of(output / "per_class.csv") == rows_of(run / "per_class.csv")
    provenance = json.loads((output / "provenance.json").read_text())
    assert (provenance["step"], provenance["data"]["batch_size"]) == (4, 2)
    with Image.open(output / "samples.png") as picture:
        # Photographs are 400 pixels wide.
        row = round(400 * 40 / 56)
        assert 2 * row < picture.height < 3 * row


def test_views_of_an_evaluation_are_recorded(finished, tmp_path):
    views = {"short_sides": (32, 64), "flip": True, "sliding_window": (40, 33)}
    config = Evaluate(
        model=finished.workdir,
        which="last",
        segmentation=EvaluationOptions(**views, sample_rows=1),
        output=tmp_path / "out",
    )
    assert call(main, config)[0] == 0
    provenance = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert provenance["views"] == {
        "short_sides": [32, 64],
        "long_side": None,
        "flip": True,
        "sliding_window": [40, 33],
    }
    (numbers,) = read_table(tmp_path / "out" / "quality.csv").values()
    assert 0 < numbers["pixel_accuracy"] < 1


def test_classes_of_another_source_are_matched_by_name(finished, tmp_path):
    # The values of grass and car are exchanged; sky and boat are missing.
    classes = "1 car 250 0 0\n2 grass 0 250 0\n0 void 0 0 0\n"
    source = drawn_folder(tmp_path / "other", train=0, val=2, classes=classes)
    output = tmp_path / "out"
    config = Evaluate(model=finished.workdir, source=str(source), output=output)
    status, text = call(main, config)
    assert status == 0
    assert "2 test photographs of other, step" in text
    rows = rows_of(output / "per_class.csv")
    assert tuple(row["class"] for row in rows) == CLASSES
    # Pixels of the sky do not count.
    assert float(rows[0]["iou"]) == 0
    assert rows[3]["absent"] == "1"
    assert read_table(output / "quality.csv")["UperNet R18"]["pixel_accuracy"] < 1


def test_label_maps_of_another_source_are_read_by_its_own_options():
    """The run's list of classes and its ignored values are for its own source."""
    other = "other"
    trained = SegmentationData(
        source="pictures", classes_file="classes.txt", ignored_labels=(2,)
    )
    data = EvaluationOptions().data(trained, source=other, batch_size=2)
    assert data == dataclasses.replace(
        trained, source=other, classes_file=None, ignored_labels=(), batch_size=2
    )
    options = EvaluationOptions(classes_file="own.txt", label_feature="labels")
    data = options.data(trained, source=other, batch_size=2)
    assert (data.classes_file, data.label_feature) == ("own.txt", "labels")
    for source in (None, trained.source):
        data = EvaluationOptions().data(trained, source=source, batch_size=2)
        assert data == dataclasses.replace(trained, batch_size=2)
        words = (
            "`classes_file` must be None unless `source` is another one .* 'own.txt'"
        )
        with pytest.raises(RefusedError, match=words):
            options.data(trained, source=source, batch_size=2)


def test_split_of_the_run_is_that_of_its_source_named_again():
    trained = SegmentationData(source="pictures", test_split="test")
    for source, split in {None: "test", "pictures": "test", "other": None}.items():
        data = EvaluationOptions().data(trained, source=source, batch_size=2)
        assert data.test_split == split


def test_set_of_another_source_can_be_chosen(finished, tmp_path):
    source = drawn_folder(tmp_path / "other", train=0, val=2, test=1)
    config = Evaluate(
        model=finished.workdir,
        source=str(source),
        output=tmp_path / "out",
        segmentation=EvaluationOptions(test_split="test", sample_rows=1),
    )
    status, text = call(main, config)
    assert status == 0
    assert "1 test photograph of other, step" in text


def test_class_that_the_run_does_not_have_is_refused(finished, tmp_path):
    source = drawn_folder(tmp_path / "other", train=0, classes="0 sky\n1 sea\n2 car\n")
    config = Evaluate(model=finished.workdir, source=str(source), output=tmp_path / "o")
    words = r"must have no class that training lacks, got 'sea'"
    with pytest.raises(RefusedError, match=words):
        call(main, config)


def test_run_is_loaded_with_its_classes(finished):
    trained = load(finished.workdir, which="last")
    assert trained.classes.names == CLASSES
    assert trained.classes.palette[2] == (250, 0, 0)
    assert trained.data.source == finished.data.source
    assert trained.step == 4


def test_rows_of_pictures_must_be_positive():
    with pytest.raises(RefusedError, match="`sample_rows` must be positive, got 0"):
        EvaluationOptions(sample_rows=0)
