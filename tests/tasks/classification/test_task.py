"""Classification runs on a handful of tiny images."""

import json
import pathlib
import signal
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.data import ColourJitter
from carafe_jax.models import ClassifierConfig, Downsampler
from carafe_jax.tasks.classification import (
    ClassificationData,
    ClassificationRun,
    ClassificationTask,
    CrossEntropy,
)
from carafe_jax.tasks.classification.data import ClassificationDataset
from carafe_jax.tasks.classification.evaluator import ClassifierEvaluator
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_folder import open_run
from carafe_jax.tasks.tables import read_table
from carafe_jax.train import SGD, Loop, train
from tests.tasks.runs import Stopping, call, classification, labelled_folder


def task_of(config):
    return ClassificationTask(config.network, config.data, loss=config.loss)


def test_run_ends_with_a_table_of_the_whole_test_set(folder, tmp_path):
    status, text = call(train_and_report, classification(folder, tmp_path))
    assert status == 0
    assert "ResNet-18, conv" in text
    row = read_table(tmp_path / "table.csv")["ResNet-18, conv"]
    # Sevenths: each test image counts once.
    assert row["top1"] * 7 == pytest.approx(round(row["top1"] * 7), abs=1e-5)
    assert "top5" not in row  # It would always be 100 % for two classes.
    again, text = call(train_and_report, classification(folder, tmp_path))
    assert again == 0
    assert "This run is finished" in text
    assert f"{100 * row['top1']:.2f} %" in text


def test_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(folder, tmp_path):
    def run(workdir, *, stop_after=None):
        loop = Loop(epochs=2, log_every=1, average_decay=0.9)
        config = classification(folder, workdir, loop=loop)
        task = task_of(config)
        if stop_after is not None:
            batches = task.batches()
            task.batches = lambda: Stopping(batches, after=stop_after)
        return train(
            task, optimizer=config.optimization, loop=config.loop, workdir=workdir
        )

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", stop_after=1).interrupted_by == signal.SIGTERM
    resumed = run(tmp_path / "parts")
    for name in ("params", "collections", "average", "opt_state"):
        chex.assert_trees_all_equal(
            getattr(resumed.state, name), getattr(whole.state, name)
        )
    assert resumed.scalars == whole.scalars


@pytest.mark.parametrize(
    ("downsampler", "depth"),
    [
        # A smaller ResNet has no bottleneck blocks.
        pytest.param(name, 50, marks=pytest.mark.slow)
        if name == "lip_bottleneck"
        else (name, 18)
        for name in get_args(Downsampler)
    ],
)
def test_every_downsampler_has_a_gradient(folder, downsampler, depth):
    network = ClassifierConfig(depth=depth, width=2, downsampler=downsampler)
    data = classification(folder, pathlib.Path()).data
    task = ClassificationTask(network, data, loss=CrossEntropy(label_smoothing=0.1))
    variables = jax.eval_shape(task.init, jax.random.key(0))
    batch = next(task.batches())
    shapes = jax.eval_shape(
        jax.grad(lambda v, b: task.loss(v, b, jax.random.key(0))[0]), variables, batch
    )
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)


def test_examples_that_are_not_valid_do_not_count(folder):
    def logits(variables, image):
        del variables
        return jnp.stack([image[:, 0, 0, 0], 1 - image[:, 0, 0, 0]], axis=-1)

    data = classification(folder, pathlib.Path()).data
    evaluator = ClassifierEvaluator(logits, ClassificationDataset(data))
    batch = {
        "image": np.array([1, 0, 0], np.float32).reshape(3, 1, 1, 1),
        "label": np.zeros(3, np.int32),
        "valid": np.array([True, True, False]),
    }
    measured = evaluator.measure({}, [batch, batch])
    assert measured["top1"] == 0.5


def test_rate_grows_with_the_batch_and_epochs_count_whole_batches(folder):
    config = classification(
        folder, pathlib.Path(), optimizer=SGD(learning_rate=0.1), epochs=3
    )
    assert config.optimization.learning_rate == pytest.approx(0.1 * 4 / 256)
    loop = config.loop.in_steps(task_of(config).steps_per_epoch())
    assert (loop.steps, loop.evaluate_every) == (6, 2)


def test_batch_of_more_than_all_images_is_refused(folder):
    task = ClassificationTask(
        ClassifierConfig(depth=18), ClassificationData(source=str(folder))
    )
    with pytest.raises(
        ValueError, match=r"`batch_size` must be at most .* 10, got 256"
    ):
        task.steps_per_epoch()


def test_smoothing_of_all_labels_is_refused():
    with pytest.raises(ValueError, match=r"`label_smoothing` must lie in \[0, 1\)"):
        CrossEntropy(label_smoothing=1.0)


def test_jittered_run_trains(folder, tmp_path):
    jitter = ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    config = classification(folder, tmp_path, jitter=jitter, epochs=1)
    status, text = call(train_and_report, config)
    assert status == 0, text


def test_data_of_other_classes_are_refused_on_resumption(tmp_path):
    folder = labelled_folder(tmp_path / "images")
    config = classification(folder, tmp_path / "run", epochs=1)
    assert call(train_and_report, config)[0] == 0
    before = (config.workdir / "classes.json").read_text()
    for split in ("train", "val"):
        (folder / split / "red").rename(folder / split / "rose")
    longer = classification(folder, tmp_path / "run", epochs=2)
    with pytest.raises(
        ValueError, match=r"2 classes \(red, sea\) of the run, got 2 classes \(rose"
    ):
        call(train_and_report, longer)
    assert (config.workdir / "classes.json").read_text() == before


def test_run_of_version_01_is_loaded_and_made_longer(folder, tmp_path):
    config = classification(folder, tmp_path, epochs=1)
    assert call(train_and_report, config)[0] == 0
    stored = json.loads((tmp_path / "config.json").read_text())["config"]
    gone = ("start.", "loop.steps", "optimizer.frozen", "optimizer.rate_factors")
    old = {
        name.replace("network.", "model.").removeprefix("loop."): value
        for name, value in stored.items()
        if not name.startswith((*gone, "optimizer.weight_decays", "data.test_fraction"))
    }
    old |= {"data.broken_limit": 7, "evaluate_every": 1, "save_every": 250}
    (tmp_path / "config.json").write_text(json.dumps(old))
    opened = open_run(tmp_path).config
    assert isinstance(opened, ClassificationRun)
    assert (opened.loop.epochs, opened.loop.steps) == (1, None)
    assert opened.network == config.network
    longer = classification(folder, tmp_path, epochs=2)
    assert call(train_and_report, longer)[0] == 0
    stored = json.loads((tmp_path / "config.json").read_text())
    assert (stored["format"], stored["config"]["loop.epochs"]) == (2, 2)
