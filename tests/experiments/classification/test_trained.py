"""What is done with a trained classifier: evaluate, predict, export."""

import csv

import jax.export
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import ClassificationData
from carafe_jax.models import ClassifierConfig as Model
from experiments.classification import evaluate, export, predict, training
from experiments.classification.trained import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "val"):
        for number, name in enumerate(("dark", "light")):
            (root / split / name).mkdir(parents=True)
            for index in range(3):
                shade = 20 + 180 * number + 10 * index
                image = Image.new("RGB", (20, 24), (shade, shade, shade))
                image.save(root / split / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = training.Classification(
        data=ClassificationData(
            source=str(folder), image_size=16, resize_size=18, batch_size=3
        ),
        model=Model(depth=18, width=2),
        epochs=1,
        average_decay=0.5,
        workdir=workdir,
    )
    assert training.main(config, Console(quiet=True)) == 0
    return workdir


def console():
    return Console(record=True, width=200)


@pytest.mark.slow
def test_evaluation_gives_the_numbers_of_the_run(folder, run):
    out = console()
    config = evaluate.Evaluation(workdir=run, source=str(folder), batch_size=4)
    assert evaluate.main(config, out) == 0
    row = training.read_table(run / "table.csv")
    text = out.export_text()
    for name in training.COLUMNS:
        assert f"{row[name]:.4f}" in text


def test_evaluation_refuses_other_classes(run, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "grey").mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / split / "grey" / "0.png")
    config = evaluate.Evaluation(workdir=run, source=str(tmp_path))
    with pytest.raises(
        ValueError, match="the 2 classes of the run, dark, light, got 1"
    ):
        evaluate.main(config, console())


def test_prediction_names_the_likeliest_classes(folder, run, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    out = console()
    config = predict.Prediction(
        workdir=run,
        images=(folder / "val" / "light", tmp_path / "broken.jpg"),
        output=tmp_path / "predictions.csv",
    )
    # Not all is well: a file cannot be read.
    assert predict.main(config, out) == 1
    assert "broken.jpg" in out.export_text()
    with config.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2
    chances = [float(row["probability"]) for row in rows]
    assert chances[0] >= chances[1]
    assert sum(chances[:2]) == pytest.approx(1, abs=1e-5)


def test_prediction_refuses_what_is_not_there(run, tmp_path):
    config = predict.Prediction(workdir=run, images=(tmp_path / "nothing",))
    with pytest.raises(ValueError, match="`images` must exist"):
        predict.main(config, console())


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.slow
def test_exported_program_gives_the_same_logits(run, tmp_path, batch_size):
    config = export.Export(
        workdir=run, output=tmp_path / "model.jax", batch_size=batch_size
    )
    assert export.main(config, console()) == 0
    program = jax.export.deserialize(bytearray((tmp_path / "model.jax").read_bytes()))
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    expected = load(run, which="best").logits(images)
    # The same sums, fused otherwise.
    np.testing.assert_allclose(program.call(images), expected, atol=1e-4)
    assert (tmp_path / "model.classes.json").read_text() == '["dark", "light"]\n'


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_a_program_for_a_batch_of_any_size(run, platform):
    assert export.export(load(run, which="last"), platform=platform, batch_size=None)


def test_gpu_kernels_are_not_exported(run):
    with pytest.raises(ValueError, match=r"`batch_size` must be None for .* got 8"):
        export.export(load(run, which="last"), platform="cuda", batch_size=8)


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"which lacks config\.json, classes\.json"):
        load(tmp_path, which="best")
