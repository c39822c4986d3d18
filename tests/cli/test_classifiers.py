"""The subcommands for a trained classifier: evaluate, classify, export."""

import csv
import dataclasses
import io
import json
import pathlib
import shutil
import types

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.cli import classify, evaluate, export
from carafe_jax.data import UnreadableImageError
from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.classification import ClassificationData, load
from carafe_jax.tasks.classification.evaluation_options import (
    EvaluationOptions as ClassificationOptions,
)
from carafe_jax.tasks.classification.export import export as export_program
from carafe_jax.tasks.classification.prediction import TrainedClassifier
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
        loop=Loop(epochs=1, average_decay=0.5),
    )
    assert train_and_report(config, Console(quiet=True)) == 0
    return workdir


@pytest.mark.parametrize("source", [None, "given"])
def test_evaluation_agrees_with_the_table_of_the_run(folder, run, tmp_path, source):
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
    assert f"{100 * row['top1']:.2f} %" in text
    assert "6 test images of" in text
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["step"] == 2
    assert provenance["data"]["source"] == str(folder)
    assert f"{row['loss']:.4f}" in text


def test_evaluation_refuses_a_split_that_the_source_lacks(run, tmp_path):
    options = ClassificationOptions(test_split="test")
    config = evaluate.Evaluate(model=run, output=tmp_path, classification=options)
    rule = r"`classification.test_split` must .*\(val\), got 'test'"
    with pytest.raises(RefusedError, match=rule):
        call(evaluate.main, config)


def test_evaluation_refuses_other_classes(run, tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "grey").mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(tmp_path / split / "grey" / "0.png")
    config = evaluate.Evaluate(model=run, source=str(tmp_path), output=tmp_path)
    with pytest.raises(
        ValueError, match=r"the 2 classes \(dark, light\) of the run, got 1"
    ):
        call(evaluate.main, config)


def test_evaluation_of_other_images_is_not_written_over_that_of_the_run(run):
    with pytest.raises(ValueError, match="`output` must be given with `source`"):
        evaluate.Evaluate(model=run, source="elsewhere")


def test_evaluation_refuses_options_of_another_task(run):
    config = evaluate.Evaluate(model=run, inpainting=EvaluationOptions(test_seed=1))
    with pytest.raises(ValueError, match=r"`inpainting.test_seed` .* 'classif"):
        call(evaluate.main, config)


def test_prediction_names_the_likeliest_classes(folder, run, tmp_path):
    (tmp_path / "broken[old].jpg").write_bytes(b"no image")
    config = classify.Classify(
        model=run,
        images=(folder / "val" / "light", tmp_path / "broken[old].jpg"),
        output=tmp_path / "new" / "predictions.csv",
    )
    # Status 1, as a file cannot be read.
    status, text = call(classify.main, config)
    assert status == 1
    assert "Unreadable: " in text
    assert "broken[old].jpg (cannot identify image file)" in text
    assert "Table of 3 images" in text
    with config.output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities[0] >= probabilities[1]
    assert sum(probabilities[:2]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("batches", [0, 2])
def test_interrupted_prediction_keeps_what_it_classified(
    folder, run, tmp_path, monkeypatch, batches
):
    config = classify.Classify(
        model=run,
        images=(folder / "val",),
        batch_size=2,
        output=tmp_path / "predictions.csv",
    )
    whole = dataclasses.replace(config, output=tmp_path / "whole.csv")
    call(classify.main, whole)
    expected = whole.output.read_text().splitlines()
    whole.output.unlink()
    likeliest, calls = TrainedClassifier._most_likely, []

    def interrupted(self, pixels, count):
        if len(calls) == batches:
            raise KeyboardInterrupt
        calls.append(pixels)
        return likeliest(self, pixels, count)

    recorder = Console(record=True, width=300, file=io.StringIO())
    with monkeypatch.context() as patch:
        patch.setattr(TrainedClassifier, "_most_likely", interrupted)
        with pytest.raises(KeyboardInterrupt):
            classify.main(config, recorder)
    text = recorder.export_text()
    if not batches:
        assert "Stopped before the predictions of the 6 images were written." in text
        assert not any(tmp_path.iterdir())
        return
    assert f"Classified 4 of 6 images, written to {config.output}. Repeat the" in text
    assert [*tmp_path.iterdir()] == [config.output]
    # A header, and two classes of each image.
    assert config.output.read_text().splitlines() == expected[: 1 + 4 * 2]
    with pytest.raises(RefusedError, match=r"`output` must not exist.* --overwrite"):
        classify.main(config, Console(quiet=True))
    again = dataclasses.replace(config, overwrite=True)
    call(classify.main, again)
    assert config.output.read_text().splitlines() == expected
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(TrainedClassifier, "_most_likely", interrupted)
        with pytest.raises(KeyboardInterrupt):
            classify.main(again, Console(quiet=True))
    assert config.output.read_text().splitlines() == expected


def test_prediction_interrupted_while_it_is_shown_or_moved_is_not_cut(
    folder, run, tmp_path, monkeypatch
):
    """An image has all of its rows, and the last line is true."""

    def interrupt(*args):
        raise KeyboardInterrupt

    config = classify.Classify(
        model=run, images=(folder / "val",), output=tmp_path / "predictions.csv"
    )
    for module, name, expected in (
        (pathlib.Path, "replace", "Stopped before the predictions of the 6 images"),
        (classify, "_prediction_text", "Classified 1 of 6 images, written to"),
    ):
        recorder = Console(record=True, width=300, file=io.StringIO())
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                classify.main(config, recorder)
        assert expected in recorder.export_text()
        written = "Classified" in expected
        assert [*tmp_path.iterdir()] == [config.output] * written
    assert len(config.output.read_text().splitlines()) == 1 + 2


def test_arrays_are_classified_as_files_are(folder, run):
    path = folder / "val" / "light" / "0.png"
    trained = load(run)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert trained.classify(pixels) == trained.classify(path)


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_batches_give_the_classes_of_each_image_in_order(
    folder, run, tmp_path, batch_size
):
    trained, paths = load(run), sorted((folder / "val").rglob("*.png"))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    images = [*paths[:3], broken, *paths[3:]]
    found = list(trained.classify_all(iter(images), batch_size=batch_size))
    assert isinstance(found.pop(3), UnreadableImageError)
    for path, prediction in zip(paths, found, strict=True):
        assert isinstance(prediction, list)
        expected = trained.classify(path)
        assert [name for name, _ in prediction] == [name for name, _ in expected]
        # The same sums in batches of another size.
        np.testing.assert_allclose(
            [p for _, p in prediction], [p for _, p in expected], atol=1e-5
        )


def test_no_more_than_a_batch_of_images_is_held(run):
    opened = []

    def images():
        for shade in range(10):
            opened.append(shade)
            yield np.full((20, 20, 3), shade, np.uint8)

    found = load(run).classify_all(images(), batch_size=4)
    next(found)
    assert len(opened) == 4
    assert len(list(found)) == 9


def test_names_are_written_unchanged(folder, run, tmp_path):
    """Brackets, which rich takes for markup, and bytes that are no UTF-8."""
    workdir = tmp_path / "run"
    shutil.copytree(run, workdir)
    (workdir / "classes.json").write_text(json.dumps(["cat[bold]", "caf\udce9"]))
    name = tmp_path / ("deep" * 20) / "holiday[old]\udce9.png"
    name.parent.mkdir()
    shutil.copy(folder / "val" / "light" / "0.png", name)
    output = tmp_path / "predictions.csv"
    config = classify.Classify(model=workdir, images=(name.parent,), output=output)
    status, text = call(classify.main, config, width=60)
    assert status == 0
    shown = "".join(
        line.split("│")[1].strip() for line in text.splitlines() if "│" in line
    )
    assert shown == f"{name.parent}/holiday[old]\\xe9.png"
    assert "cat[bold]" in text
    assert "caf\\xe9" in text
    # Every line is UTF-8.
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["image"] for row in rows} == {shown}
    assert {row["class"] for row in rows} == {"cat[bold]", "caf\\xe9"}


def test_long_tables_are_shown_in_part(run, tmp_path, monkeypatch):
    monkeypatch.setattr(classify, "_SHOWN", 2)
    for number in range(3):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{number}.png")
    output = tmp_path / "new" / "predictions.csv"
    config = classify.Classify(model=run, images=(tmp_path,), output=output)
    _, text = call(classify.main, config)
    assert "The first 2 of 3 images" in " ".join(text.split())
    assert "1.png" in text
    assert "2.png" not in text
    assert output.read_text().count("2.png") == 2


def test_predictions_are_not_overwritten_by_default(folder, run, tmp_path):
    output = tmp_path / "predictions.csv"
    output.write_text("mine")
    config = classify.Classify(model=run, images=(folder / "val",), output=output)
    with pytest.raises(ValueError, match=r"`output` must not exist.* --overwrite"):
        call(classify.main, config)
    assert output.read_text() == "mine"
    status, _ = call(classify.main, dataclasses.replace(config, overwrite=True))
    assert status == 0
    assert output.read_text() != "mine"


def test_folder_as_the_output_is_refused(folder, run, tmp_path):
    config = classify.Classify(model=run, images=(folder / "val",), output=tmp_path)
    with pytest.raises(ValueError, match="`output` must be a file, got the folder"):
        call(classify.main, config)


def test_images_are_not_overwritten_by_the_table(folder, run):
    image = sorted((folder / "val").rglob("*.png"))[0]
    before = image.read_bytes()
    config = classify.Classify(model=run, images=(image,), output=image, overwrite=True)
    with pytest.raises(ValueError, match="`output` must be another file than the im"):
        call(classify.main, config)
    assert image.read_bytes() == before


def test_evaluation_refuses_a_file_as_its_folder_before_it_measures(run, tmp_path):
    (tmp_path / "file").touch()
    config = evaluate.Evaluate(model=run, output=tmp_path / "file")
    with pytest.raises(ValueError, match="`output` must be a folder, got the file"):
        call(evaluate.main, config)


def test_top_5_is_left_out_where_it_means_nothing(run):
    (row,) = read_table(run / "table.csv").values()
    assert set(row) == {"top1", "loss"}


def test_prediction_refuses_missing_paths(run, tmp_path):
    config = classify.Classify(
        model=run, images=(tmp_path / "nothing",), output=tmp_path / "p.csv"
    )
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
    # The same sums, fused differently.
    np.testing.assert_allclose(program.call(images), expected, atol=1e-4)
    names = json.loads((tmp_path / "model.jax.classes.json").read_text())
    assert names == ["dark", "light"]
    with pytest.raises(ValueError, match=r"`output` must not exist.* --overwrite"):
        call(export.main, config)
    assert call(export.main, dataclasses.replace(config, overwrite=True))[0] == 0


def test_export_that_fails_changes_no_file(run, tmp_path, monkeypatch):
    model, names = tmp_path / "model.jax", tmp_path / "model.jax.classes.json"
    model.write_bytes(b"program")
    names.write_text("classes")
    monkeypatch.setattr(export, "_EXPORTS", {"classification": lambda _: exported})
    for fields in ({"program": "not bytes"}, {"classes": {"not JSON"}}):
        exported = types.SimpleNamespace(
            **{"program": b"new", "classes": ("new",), "usage": (), **fields}
        )
        with pytest.raises(TypeError):
            call(export.main, export.Export(model=run, output=model, overwrite=True))
        assert sorted(tmp_path.iterdir()) == [model, names]
        assert model.read_bytes() == b"program"
        assert names.read_text() == "classes"


def test_exported_program_accepts_images_of_any_size(run, tmp_path):
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
        # The same sums, fused differently.
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
