"""Whole runs, from the first step to the table, with interruptions and resumption."""

import dataclasses
import json
import pathlib
import shutil

import chex
import jax
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax import tasks
from carafe_jax.errors import RefusedError
from carafe_jax.tasks.inpainting import InpaintingTask, load
from carafe_jax.tasks.registry import TASKS
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_config import Start
from carafe_jax.tasks.run_folder import open_run, starting_weights, upgrade
from carafe_jax.tasks.segmentation import SegmentationOptimizer
from carafe_jax.tasks.tables import read_table
from carafe_jax.train import Adam, Checkpoints, StoredConfig
from tests.tasks.runs import (
    Stopping,
    adversarial,
    call,
    classification,
    detection,
    inpainting,
    labelled_folder,
    segmentation,
    with_source,
)
from tests.tasks.segmentation.drawn_folder import drawn_folder


def lengthen(config, steps):
    return dataclasses.replace(
        config, loop=dataclasses.replace(config.loop, steps=steps)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run."""
    workdir = tmp_path_factory.mktemp("finished")
    assert train_and_report(inpainting(workdir), Console(quiet=True)) == 0
    return workdir


@pytest.mark.parametrize("resampler", ["carafe", "conv"])
def test_run_ends_with_a_picture_and_a_table(tmp_path, resampler):
    status, text = call(train_and_report, inpainting(tmp_path, resampler=resampler))
    assert status == 0
    results = read_table(tmp_path / "table.csv")
    name = {"carafe": "U-Net, CARAFE++", "conv": "U-Net"}[resampler]
    assert list(results) == ["mean colour", "biharmonic", "spline", name]
    assert all(np.isfinite(list(row.values())).all() for row in results.values())
    assert f"{results['biharmonic']['hole_psnr']:.2f}" in text
    with Image.open(tmp_path / "samples.png") as picture:
        # Input, biharmonic, spline, network, truth: two test pictures.
        assert picture.size == (5 * 196 - 4, 26 + 2 * 196 - 4)


def test_errors_of_a_run_name_its_options_from_the_outermost_group(tmp_path):
    absent = Adam(frozen=("absent",))
    folder = drawn_folder(tmp_path / "data")
    chosen = SegmentationOptimizer(method="adam", adam=absent)
    for config, words in (
        (
            with_source(inpainting(tmp_path / "a"), tmp_path / "none"),
            "`data.source` must be an existing folder",
        ),
        (
            inpainting(tmp_path / "b", optimizer=absent),
            "Every pattern of `optimizer.frozen` must match",
        ),
        (
            segmentation(folder, tmp_path / "c", optimizer=chosen),
            "Every pattern of `optimizer.adam.frozen` must match",
        ),
    ):
        with pytest.raises(RefusedError, match=words):
            call(train_and_report, config)


def test_finished_run_shows_its_table_and_how_to_make_it_longer(finished):
    before = (finished / "table.csv").read_text()
    status, text = call(train_and_report, inpainting(finished))
    assert status == 0
    assert "larger `loop.steps` makes it longer" in text
    assert "mean colour" in text
    assert (finished / "table.csv").read_text() == before


def test_finished_run_is_made_longer(tmp_path):
    config = inpainting(tmp_path, steps=2)
    assert call(train_and_report, config)[0] == 0
    status, text = call(train_and_report, lengthen(config, 4))
    assert status == 0
    assert "4 steps" in text
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance["steps"] == 4
    assert len(provenance["sessions"]) == 2
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["config"]["loop.steps"] == 4


def test_growth_that_fails_before_its_first_step_keeps_the_table(tmp_path, monkeypatch):
    config = inpainting(tmp_path, steps=2)
    assert call(train_and_report, config)[0] == 0
    before = (tmp_path / "table.csv").read_text()

    def fail(task):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingTask, "batches", fail)
        with pytest.raises(OSError, match="no space"):
            call(train_and_report, lengthen(config, 400))
    assert (tmp_path / "table.csv").read_text() == before
    status, text = call(train_and_report, config)
    assert status == 0
    assert "This run is finished" in text


@pytest.mark.parametrize(
    "task", [tasks.classification, tasks.detection, tasks.segmentation]
)
def test_run_of_another_task_is_not_loaded(finished, task):
    name = task.__name__.split(".")[-1]
    message = f"`model` must be the folder of a run of {name}, .* task 'inpainting'"
    with pytest.raises(RefusedError, match=message):
        task.load(finished)


@pytest.mark.parametrize("use", [load, lambda x, which: Start(model=x, which=which)])
def test_unknown_choice_of_a_checkpoint_is_refused(finished, use):
    with pytest.raises(RefusedError, match=r"`which` must be one of .* 'newest'"):
        use(finished, which="newest")


def test_shorter_length_is_refused(finished):
    with pytest.raises(ValueError, match="must be at least 4 steps"):
        call(train_and_report, lengthen(inpainting(finished), 2))


def test_folder_of_runs_is_refused_with_the_runs_that_it_holds(tmp_path):
    with pytest.raises(RefusedError, match=r"which lacks config\.json\.$"):
        open_run(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").touch()
    with pytest.raises(RefusedError) as refused:
        open_run(tmp_path)
    runs = f"It holds runs: {tmp_path / 'a'}, {tmp_path / 'b'}."
    assert str(refused.value).endswith(runs)


@pytest.mark.parametrize("name", list(TASKS))
def test_default_folder_of_a_run_holds_no_other_run(name):
    # Experiments train in runs/TASK/NAME.
    assert TASKS[name].default_run().workdir == pathlib.Path("runs", name, "default")


def test_title_of_a_table_names_the_last_folder_of_the_source(tmp_path):
    config = inpainting(tmp_path / "run", steps=1)
    source = str(pictures(tmp_path / "long" / "path" / "images", 2))
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, source=source)
    )
    _, text = call(train_and_report, config)
    assert "Test images of images, 1 step" in text


def test_changed_configuration_in_the_same_folder_is_refused(finished):
    with pytest.raises(
        ValueError, match=r"`network.resampler` is 'carafe' but was 'conv'"
    ):
        call(train_and_report, inpainting(finished, resampler="carafe"))


def test_run_of_another_task_in_the_same_folder_is_refused(finished, tmp_path):
    config = classification(labelled_folder(tmp_path), finished)
    with pytest.raises(ValueError, match=r"'inpainting', not 'classification'"):
        call(train_and_report, config)


def test_configuration_names_its_task_and_format(finished):
    stored = json.loads((finished / "config.json").read_text())
    assert (stored["format"], stored["task"]) == (2, "inpainting")
    assert stored["config"]["network.stage_features"] == [4, 8]
    # The folder of a run does not affect its results.
    assert "workdir" not in stored["config"]


def test_interrupted_run_reports_how_to_resume_and_resumes_bit_for_bit(
    tmp_path, monkeypatch
):
    config = inpainting(tmp_path / "parts", steps=5)
    batches = InpaintingTask.batches
    with monkeypatch.context() as patch:
        patch.setattr(
            InpaintingTask,
            "batches",
            lambda task: Stopping(batches(task), after=2),
        )
        status, text = call(train_and_report, config)
    assert status == 128 + 15
    assert "Stopped by SIGTERM after step 3 of 5" in text
    assert call(train_and_report, config)[0] == 0
    whole = inpainting(tmp_path / "whole", steps=5)
    assert call(train_and_report, whole)[0] == 0
    variables = [
        Checkpoints(one.workdir, best="hole_psnr").restore_variables(step=5)
        for one in (config, whole)
    ]
    chex.assert_trees_all_equal(*variables)
    tables = [read_table(one.workdir / "table.csv") for one in (config, whole)]
    assert tables[0] == tables[1]


def test_mistyped_source_does_not_spoil_the_folder(tmp_path):
    right = inpainting(tmp_path, steps=2)
    source = str(tmp_path / "typo")
    wrong = dataclasses.replace(
        right, data=dataclasses.replace(right.data, source=source)
    )
    with pytest.raises(ValueError, match="typo"):
        call(train_and_report, wrong)
    assert call(train_and_report, right)[0] == 0


def test_batch_that_microbatches_do_not_divide_is_refused_before_anything(tmp_path):
    run = inpainting(tmp_path, steps=2)
    loop = dataclasses.replace(run.loop, accumulate=run.data.batch_size + 1)
    with pytest.raises(RefusedError, match=r"`loop\.accumulate` must divide"):
        call(train_and_report, dataclasses.replace(run, loop=loop))
    assert not any(tmp_path.glob("*/config.json"))


def pictures(folder, count):
    """Write photographs, and return the folder."""
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 30), (50 * number, 90, 60)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("folder", ["images", "images/val/red", "link"])
def test_run_among_its_data_is_refused_before_anything_is_written(tmp_path, folder):
    images = labelled_folder(tmp_path / "images")
    (tmp_path / "link").symlink_to(images)
    before = sorted(images.rglob("*"))
    runs = [
        classification(images, tmp_path / folder),
        detection(images, tmp_path / folder),
        segmentation(images, tmp_path / folder),
        with_source(inpainting(tmp_path / folder), images),
    ]
    for run in runs:
        with pytest.raises(RefusedError, match=r"`workdir` must be outside of the dat"):
            call(train_and_report, run)
    assert sorted(images.rglob("*")) == before


@pytest.mark.parametrize("start", [inpainting, adversarial])
def test_source_without_a_test_image_is_refused_before_training(tmp_path, start):
    config = start(tmp_path / "runs" / "one")
    source = str(pictures(tmp_path / "one", 1))
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, source=source)
    )
    with pytest.raises(RefusedError, match="at least two images, one of them for the"):
        call(train_and_report, config)
    assert not (tmp_path / "runs").exists()


def test_unreadable_source_is_refused_before_training(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abcd":
        (folder / f"{name}.jpg").write_text("not a picture")
    right = inpainting(tmp_path / "run")
    wrong = dataclasses.replace(
        right, data=dataclasses.replace(right.data, source=str(folder))
    )
    with pytest.raises(RefusedError, match="must have readable images, got none"):
        call(train_and_report, wrong)
    assert not (tmp_path / "run").exists()


def test_unreadable_test_images_are_refused_before_training(tmp_path):
    images = labelled_folder(tmp_path / "images")
    for path in (images / "val").glob("*/*.png"):
        path.write_text("not a picture")
    with pytest.raises(RefusedError, match="must have readable images, got none"):
        call(train_and_report, classification(images, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_run_starts_from_the_weights_of_another(finished, tmp_path, caplog):
    start = Start(model=finished, which="last")
    config = inpainting(tmp_path, steps=1, start=start)
    load_weights = starting_weights(config)
    assert load_weights is not None
    weights = load_weights()
    task = config.make_task()
    expected, _ = task.loss(
        weights, jax.tree.map(np.asarray, next(task.batches())), jax.random.key(0)
    )
    with caplog.at_level("INFO", logger="carafe_jax"):
        assert call(train_and_report, config)[0] == 0
    assert "oaded" in caplog.text
    losses = [
        float(line.split(",")[3])
        for line in (tmp_path / "scalars.csv").read_text().splitlines()
        if ",train,loss," in line
    ]
    # Float32 rounding of a program that is compiled differently.
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)


def test_resumed_run_does_not_need_the_weights_that_it_started_from(finished, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(finished, source)
    start = Start(model=source, which="last")
    config = inpainting(tmp_path / "run", steps=2, start=start)
    assert call(train_and_report, config)[0] == 0
    shutil.rmtree(source)
    assert call(train_and_report, lengthen(config, 3))[0] == 0


def test_weights_of_another_task_are_refused(finished, tmp_path):
    config = classification(
        labelled_folder(tmp_path / "images"),
        tmp_path / "run",
        start=Start(model=finished, which="last"),
    )
    with pytest.raises(ValueError, match="weights"):
        call(train_and_report, config)


# Runs of version 0.1


def as_of_version_01(workdir, **fields):
    """Rewrite a run's configuration as version 0.1 wrote it."""
    stored = json.loads((workdir / "config.json").read_text())["config"]
    gone = ("start.", "optimizer.frozen", "optimizer.rate", "optimizer.weight_decays")
    old = {
        name.replace("network.", "model."): value
        for name, value in stored.items()
        if not name.startswith((*gone, "loop.epochs", "data.unreadable"))
    }
    (workdir / "config.json").write_text(json.dumps({**old, **fields}))


def test_run_of_version_01_is_loaded_resumed_and_made_longer(tmp_path):
    config = inpainting(tmp_path, steps=2)
    assert call(train_and_report, config)[0] == 0
    as_of_version_01(tmp_path)
    assert load(tmp_path, which="last").data.crop_size == config.data.crop_size
    assert call(train_and_report, config)[0] == 0
    assert call(train_and_report, lengthen(config, 3))[0] == 0
    stored = json.loads((tmp_path / "config.json").read_text())
    assert (stored["format"], stored["config"]["loop.steps"]) == (2, 3)


def test_run_that_stored_the_old_name_of_a_field_is_loaded_and_resumed(tmp_path):
    config = inpainting(tmp_path, steps=2)
    assert call(train_and_report, config)[0] == 0
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace("masks.hole_fraction", "masks.hole_share"))
    assert load(tmp_path, which="last").data.masks == config.data.masks
    assert call(train_and_report, config)[0] == 0
    assert "hole_share" not in path.read_text()


def test_old_names_of_fields_and_values_are_upgraded():
    old = {"data.masks.hole_share": [0.1, 0.2], "network.downsampler": "lip_own"}
    stored = StoredConfig(format=2, task="classification", fields=old)
    assert upgrade(stored).fields == {
        "data.masks.hole_fraction": [0.1, 0.2],
        "network.downsampler": "lip_bottleneck",
    }


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"network.architecture": "upernet"}, "first"),
        (
            {"network.architecture": "upernet", "training.labels_at": None},
            None,
        ),
        ({"network.architecture": "pspnet"}, "absent"),
    ],
)
def test_runs_before_the_choice_of_labels_were_trained_on_the_first(fields, expected):
    stored = StoredConfig(format=2, task="segmentation", fields=fields)
    assert upgrade(stored).fields.get("training.labels_at", "absent") == expected


@pytest.mark.parametrize(
    ("stored", "current"),
    [
        ({"epochs": 12, "evaluate_every": 2, "save_every": 250}, None),
        ({"epochs": None, "evaluate_every": 2, "save_every": 250}, 2),
        ({"epochs": 12, "evaluate_every": 2}, 2),  # As this version stores it.
    ],
)
def test_stored_evaluations_in_epochs_become_those_after_each_epoch(stored, current):
    fields = {f"loop.{name}": value for name, value in stored.items()}
    old = StoredConfig(format=2, task="classification", fields=fields)
    assert upgrade(old).fields["loop.evaluate_every"] == current
