"""Runs of segmentation, from the first step to the table."""

import csv
import dataclasses

import chex
import numpy as np
import pytest
from PIL import Image

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.segmentation import SegmentationRun, SegmentationTask
from carafe_jax.tasks.tables import read_table
from carafe_jax.train import Checkpoints
from tests.tasks.runs import Stopping, call, segmentation
from tests.tasks.segmentation.drawn_folder import CLASSES, drawn_folder


@pytest.mark.slow
def test_run_ends_with_a_table_scores_by_class_and_pictures(finished):
    (name,) = results = read_table(finished.workdir / "table.csv")
    assert name == "UperNet R18"
    numbers = results[name]
    assert set(numbers) == {"mean_iou", "mean_iou_of_present", "pixel_accuracy"}
    assert 0 < numbers["mean_iou"] < numbers["mean_iou_of_present"] < 1
    with (finished.workdir / "per_class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["class"] for row in rows) == CLASSES
    assert [row["absent"] for row in rows][-1] == "1"
    mean = np.mean([float(row["iou"]) for row in rows])
    # The table has six digits.
    assert numbers["mean_iou"] == pytest.approx(mean, abs=1e-5)
    with Image.open(finished.workdir / "samples.png") as picture:
        # Photograph, truth and label map, each 400 pixels wide, and the legend.
        assert picture.width > 3 * 400


@pytest.mark.slow
def test_interrupted_run_resumes_bit_for_bit(finished, tmp_path, monkeypatch):
    config = dataclasses.replace(finished, workdir=tmp_path)
    batches = SegmentationTask.batches
    with monkeypatch.context() as patch:
        patch.setattr(
            SegmentationTask, "batches", lambda task: Stopping(batches(task), after=2)
        )
        status, text = call(train_and_report, config)
    assert status == 128 + 15
    assert "Stopped by SIGTERM after step 3 of 4" in text
    assert call(train_and_report, config)[0] == 0
    variables = [
        Checkpoints(one.workdir, best=one.best).restore_variables(step=4)
        for one in (config, finished)
    ]
    chex.assert_trees_all_equal(*variables)
    tables = [read_table(one.workdir / "table.csv") for one in (config, finished)]
    assert tables[0] == tables[1]


def test_resumed_run_with_other_classes_is_refused(tmp_path):
    folder, workdir = drawn_folder(tmp_path / "data"), tmp_path / "run"
    segmentation(folder, workdir).make_task().prepare(workdir)
    (workdir / "checkpoints" / "2").mkdir(parents=True)
    segmentation(folder, workdir).make_task().prepare(workdir)
    path = folder / "classes.txt"
    path.write_text(path.read_text().replace("car", "lorry"))
    words = r"4 classes \(sky, grass, car, \.\.\.\) of the run, got 4 classes .* lorry"
    with pytest.raises(RefusedError, match=words):
        segmentation(folder, workdir).make_task().prepare(workdir)


def test_defaults_need_the_folder_of_ade20k(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = r"`source` must be an existing folder.*, got 'ADEChallengeData2016'"
    with pytest.raises(RefusedError, match=words):
        SegmentationRun().make_task()
