"""What is done with a trained classifier: evaluate, classify, export."""

import csv
import json

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.cli import classify, evaluate, export
from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import ClassificationData, load
from carafe_jax.tasks.classification.export import export as export_program
from carafe_jax.tasks.inpainting.evaluation import EvaluationOptions
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.tables import read_table
from carafe_jax.train import Loop
from tests.tasks.runs import call, classification


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
    config = classification(
        folder,
        workdir,
        data=ClassificationData(
            source=str(folder), image_size=16, resize_size=18, batch_size=3
        ),
        network=ClassifierConfig(depth=18, width=2),
        loop=Loop(epochs=1, evaluate_every=1, average_decay=0.5),
    )
    assert train_and_report(config, Console(quiet=True)) == 0
    return workdir


@pytest.mark.parametrize("source", [None, "given"])
def test_evaluation_gives_the_numbers_of_the_run(folder, run, tmp_path, source):
    config = evaluate.Evaluate(
        model=run,
        source=source and str(folder),
        batch_size=4,
        output=tmp_path,
    )
    status, text = call(evaluate.main, config)
    assert status == 0
    (row,) = read_table(run / "table.csv").values()
    (measured,) = read_table(tmp_path / "quality.csv").values()
    assert measured == pytest.approx(row)
    assert f"{row['top1']:.2%}" in text
    assert f"{row['loss']:.4f}" in text


def test_evaluation_refuses_other_classes(run, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "grey").mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / split / "grey" / "0.png")
    config = evaluate.Evaluate(model=run, source=str(tmp_path))
    with pytest.raises(
        ValueError, match="the 2 classes of the run, dark, light, got 1"
    ):
        call(evaluate.main, config)


def test_evaluation_refuses_options_of_another_task(run):
    config = evaluate.Evaluate(model=run, inpainting=EvaluationOptions(test_seed=1))
    with pytest.raises(ValueError, match=r"`inpainting` options .* 'classification'"):
        call(evaluate.main, config)


def test_prediction_names_the_likeliest_classes(folder, run, tmp_path):
    (tmp_path / "broken[old].jpg").write_bytes(b"no image")
    config = classify.Classify(
        model=run,
        images=(folder / "val" / "light", tmp_path / "broken[old].jpg"),
        output=tmp_path / "new" / "predictions.csv",
    )
    # Not all is well: a file cannot be read.
    status, text = call(classify.main, config)
    assert status == 1
    assert "broken[old].jpg" in text
    with config.output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities[0] >= probabilities[1]
    assert sum(probabilities[:2]) == pytest.approx(1, abs=1e-5)


def test_arrays_are_classified_as_files_are(folder, run):
    path = folder / "val" / "light" / "0.png"
    trained = load(run)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert trained.classify(pixels) == trained.classify(path)


def test_prediction_refuses_what_is_not_there(run, tmp_path):
    config = classify.Classify(model=run, images=(tmp_path / "nothing",))
    with pytest.raises(ValueError, match="`images` must exist"):
        call(classify.main, config)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_exported_program_gives_the_same_logits(run, tmp_path, batch_size):
    config = export.Export(
        model=run, output=tmp_path / "model.jax", batch_size=batch_size
    )
    status, text = call(export.main, config)
    assert status == 0
    assert "jax.export.deserialize" in text
    program = jax.export.deserialize(bytearray((tmp_path / "model.jax").read_bytes()))
    images = np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), dtype=np.uint8)
    expected = load(run).logits(images)
    # The same sums, fused otherwise.
    np.testing.assert_allclose(program.call(images), expected, atol=1e-4)
    names = json.loads((tmp_path / "model.jax.classes.json").read_text())
    assert names == ["dark", "light"]


def test_exported_program_takes_images_of_any_size(run, tmp_path):
    config = export.Export(model=run, output=tmp_path / "model.jax", size="any")
    status, text = call(export.main, config)
    assert status == 0
    assert "uint8 of shape (n, h, w, 3)" in text
    program = jax.export.deserialize(bytearray((tmp_path / "model.jax").read_bytes()))
    draw = np.random.default_rng(0).integers
    logits = jax.jit(load(run).logits)
    for shape in ((2, 33, 47, 3), (1, 1, 20, 3)):
        images = draw(0, 255, shape, dtype=np.uint8)
        expected = logits(images)
        # The same sums, fused otherwise.
        np.testing.assert_allclose(program.call(images), expected, atol=1e-4)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_a_program_for_images_of_any_size(run, platform):
    program = export_program(load(run), platform=platform, batch_size=None, size="any")
    n, height, width, _ = jax.export.deserialize(program).in_avals[0].shape
    assert all(map(jax.export.is_symbolic_dim, (n, height, width)))


def test_images_of_any_size_ask_for_a_batch_of_any_size(run):
    message = "`batch_size` must be None where `size` is 'any': .* got 8"
    with pytest.raises(RefusedError, match=message):
        export_program(load(run), platform="tpu", batch_size=8, size="any")


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_a_program_for_a_batch_of_any_size(run, platform):
    assert export_program(load(run), platform=platform, batch_size=None)


def test_gpu_kernels_are_not_exported(run):
    with pytest.raises(ValueError, match=r"`batch_size` must be None for .* got 8"):
        export_program(load(run), platform="cuda", batch_size=8)


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"which lacks config\.json"):
        load(tmp_path)
