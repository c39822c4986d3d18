"""Evaluation of a trained detector by the command."""

import csv
import json

import pytest
from PIL import Image

from carafe_jax.cli.evaluate import Evaluate, main
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.detection.evaluation_options import EvaluationOptions
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.tables import read_table
from tests import tiny_detectors
from tests.tasks.detection.drawn_folder import drawn_folder
from tests.tasks.runs import call, detection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    folder = drawn_folder(root / "pictures", val=3)
    config = detection(folder, root / "run")
    status, _ = call(train_and_report, config)
    assert status == 0
    return root / "run"


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_run_writes_pictures_and_classes(run):
    with Image.open(run / "samples.png") as picture:
        assert picture.width == 512 * 2 + 4
    assert [row["class"] for row in rows_of(run / "per_class.csv")] == ["red", "blue"]


def test_evaluation_agrees_with_the_table_of_the_run(run, tmp_path):
    count = tiny_detectors.CONFIG.detections.count
    options = EvaluationOptions(max_detections=(1, count), sample_rows=2)
    config = Evaluate(
        model=run, which="last", output=tmp_path, detection=options, batch_size=2
    )
    status, text = call(main, config)
    assert status == 0
    assert "Mask R-CNN R18: 3 test photographs of pictures, step 2" in text
    rows = [line.split("│")[1] for line in text.splitlines() if "at most" in line]
    assert [row.strip() for row in rows] == ["at most 1", f"at most {count}"]
    (expected,) = read_table(run / "table.csv").values()
    one, every = rows_of(tmp_path / "quality.csv")
    assert one["method"].endswith("at most 1 detection")
    assert every["method"].endswith(f"at most {count} detections")
    for name, value in expected.items():
        assert float(every[name]) == pytest.approx(value, abs=1e-6)
    assert float(one["box_ar1"]) <= float(every[f"box_ar{count}"])
    assert len(rows_of(tmp_path / "per_class.csv")) == 4
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert (provenance["step"], provenance["max_detections"]) == (2, [1, count])
    boxes, masks = (
        json.loads((tmp_path / f"detections_{kind}.json").read_text())
        for kind in ("bbox", "segm")
    )
    assert len(boxes) == len(masks) > 0
    assert {x["category_id"] for x in boxes} <= {3, 7}
    with Image.open(tmp_path / "samples.png") as picture:
        assert 2 * 400 < picture.height < 3 * 400


def val_alone(root, *, red="red"):
    """Return a folder of test pictures, with another name of a class."""
    folder = drawn_folder(root, train=0)
    (folder / "annotations" / "instances_train.json").unlink()
    path = folder / "annotations" / "instances_val.json"
    path.write_text(path.read_text().replace('"red"', f'"{red}"'))
    return str(folder)


def test_classes_of_a_test_set_without_training_images_are_those_of_the_run(
    run, tmp_path
):
    output = tmp_path / "out"
    source = val_alone(tmp_path / "val")
    config = Evaluate(model=run, source=source, output=output, batch_size=2)
    status, text = call(main, config)
    assert status == 0
    assert "2 test photographs of val, step 2" in text
    assert [row["class"] for row in rows_of(output / "per_class.csv")] == [
        "red",
        "blue",
    ]


def test_other_classes_are_refused(run, tmp_path):
    source = val_alone(tmp_path / "val", red="green")
    config = Evaluate(model=run, source=source, output=tmp_path / "out")
    words = r"instances_val\.json': .* training set \('red', 'blue'\) .*, got 'green'"
    with pytest.raises(RefusedError, match=words):
        call(main, config)


def test_test_set_without_objects_is_refused_before_anything_is_detected(run, tmp_path):
    source = val_alone(tmp_path / "val")
    path = tmp_path / "val" / "annotations" / "instances_val.json"
    entries = json.loads(path.read_text()) | {"annotations": []}
    path.write_text(json.dumps(entries))
    config = Evaluate(model=run, source=source, output=tmp_path / "out")
    with pytest.raises(RefusedError, match="`source` must have test photographs with"):
        call(main, config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("max_detections", (100, 0), "`max_detections` must be different integers"),
        ("max_detections", (5, 5), "`max_detections` must be different integers"),
        ("score_threshold", 1.5, r"`score_threshold` must lie in \[0, 1\], got 1.5"),
        ("sample_rows", 0, "`sample_rows` must be positive, got 0"),
    ],
)
def test_invalid_options_are_refused(field, value, message):
    with pytest.raises(RefusedError, match=message):
        EvaluationOptions(**{field: value})
