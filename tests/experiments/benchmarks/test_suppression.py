"""The table of suppressions, of small scenes."""

import csv

import numpy as np
import pytest
from rich.console import Console

from experiments.benchmarks.suppression import SCENES, Suppression, main


def test_each_scene_has_a_row_for_each_number_of_boxes(tmp_path):
    console = Console(record=True, width=120)
    config = Suppression(
        boxes=(20, 40), problems=2, repetitions=1, output=tmp_path / "table.csv"
    )
    assert main(config, console) == 0
    with config.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(scene, count) for scene in SCENES for count in ("20", "40")]
    assert [(row["scene"], row["boxes"]) for row in rows] == expected
    for row in rows:
        assert 1 <= int(row["most_sweeps"]) <= int(row["boxes"])
        assert 1 <= int(row["mean_kept"]) <= int(row["boxes"])
        assert min(float(row[f"{way}_ms"]) for way in ("rows", "sweeps", "nms")) > 0
    assert "2 problems" in console.export_text()


@pytest.mark.parametrize("scene", SCENES)
def test_boxes_of_a_scene_have_sides(scene):
    boxes = SCENES[scene](np.random.default_rng(0), 50)
    assert boxes.shape == (50, 4)
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def test_values_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="`repetitions` must be positive, got 0"):
        Suppression(repetitions=0)
