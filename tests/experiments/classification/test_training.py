"""Classification runs on a handful of tiny images."""

import signal
import subprocess
import sys
from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.data import ClassificationData
from carafe_jax.train import SGD, train
from experiments.classification import compare_downsamplers, training
from experiments.classification.network import Downsampler, Model
from experiments.classification.task import ClassificationTask, Jitter, Loss


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Red and blue images, ten to train on and seven to test."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, counts in (("train", (6, 4)), ("val", (4, 3))):
        for channel, (name, count) in zip(
            (0, 2), zip(("red", "sea"), counts, strict=True), strict=True
        ):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, size=(24, 20, 3), dtype=np.uint8)
                pixels[..., channel] += 150
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def tiny(folder, workdir, **fields):
    return training.Classification(
        data=ClassificationData(
            source=str(folder),
            image_size=16,
            resize_size=16,
            batch_size=4,
            read_threads=1,
        ),
        **{
            "model": Model(depth=18, width=2, downsampler="conv"),
            "epochs": 2,
            "log_every": 1,
            "workdir": workdir,
            **fields,
        },
    )


def main(config):
    console = Console(record=True, width=100)
    return training.main(config, console), console.export_text()


def test_run_ends_with_a_table_of_the_whole_test_set(folder, tmp_path):
    status, text = main(tiny(folder, tmp_path))
    assert status == 0
    assert "ResNet-18, conv" in text
    row = training.read_table(tmp_path / "table.csv")
    # Sevenths: each test image counts once.
    assert row["top1"] * 7 == pytest.approx(round(row["top1"] * 7), abs=1e-5)
    assert row["top5"] == 1  # Of two classes.
    again, text = main(tiny(folder, tmp_path))
    assert again == 0
    assert "This run is finished" in text


@pytest.mark.slow
def test_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(folder, tmp_path):
    def run(workdir, *, stop_after=None):
        config = tiny(folder, workdir, average_decay=0.9)
        task = ClassificationTask(config.model, config.loss, config.data)
        if stop_after is not None:
            task.batches = lambda: Stopping(task_batches(task), stop_after)
        return train(
            task,
            optimizer=config.scaled_optimizer,
            loop=config.loop(task.source.training_images),
            workdir=workdir,
        )

    whole = run(tmp_path / "whole")
    assert run(tmp_path / "parts", stop_after=1).interrupted_by == signal.SIGTERM
    resumed = run(tmp_path / "parts")
    for name in ("params", "collections", "average", "opt_state"):
        chex.assert_trees_all_equal(
            getattr(resumed.state, name), getattr(whole.state, name)
        )
    assert resumed.scalars == whole.scalars


def task_batches(task):
    return ClassificationTask.batches(task)


class Stopping:
    """Batches that send their process a signal."""

    def __init__(self, batches, after):
        self.batches, self.left = batches, after

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)
        self.left -= 1
        return next(self.batches)

    def get_state(self):
        return self.batches.get_state()

    def set_state(self, state):
        self.batches.set_state(state)


@pytest.mark.parametrize("downsampler", get_args(Downsampler))
def test_every_downsampler_has_a_gradient(folder, downsampler):
    model = Model(depth=50, width=2, downsampler=downsampler)
    task = ClassificationTask(model, Loss(label_smoothing=0.1), tiny(folder, "").data)
    variables = jax.eval_shape(task.init, jax.random.key(0))
    batch = next(task.batches())
    shapes = jax.eval_shape(
        jax.grad(lambda v, b: task.loss(v, b, jax.random.key(0))[0]), variables, batch
    )
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)


def test_padding_of_the_last_batch_does_not_count(folder):
    task = ClassificationTask(
        Model(depth=18, width=2, downsampler="conv"), Loss(), tiny(folder, "").data
    )
    variables = jax.jit(task.init)(jax.random.key(0))
    image = np.zeros((2, 16, 16, 3), np.uint8)
    counted = task._counted(
        variables,
        {
            "image": jnp.asarray(image),
            "label": jnp.array([0, 0]),
            "valid": jnp.array([True, False]),
        },
    )
    assert float(counted["images"]) == 1
    assert float(counted["top5"]) == 1


def test_rate_grows_with_the_batch_and_epochs_count_whole_batches(folder):
    config = tiny(folder, "", optimizer=SGD(learning_rate=0.1), epochs=3)
    assert config.scaled_optimizer.learning_rate == pytest.approx(0.1 * 4 / 256)
    loop = config.loop(10)
    assert (loop.steps, loop.evaluate_every) == (6, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Model(width=0), "`width` must be positive"),
        (lambda: Model(depth=18, downsampler="lip_own"), "`depth` must be at least 50"),
        (lambda: Loss(label_smoothing=1.0), r"`label_smoothing` must lie in \[0, 1\)"),
        (lambda: tiny("f", "", epochs=0), "`epochs` must be positive, got 0"),
        (lambda: tiny("f", "").loop(3), "`batch_size` must be at most the 3 training"),
        (
            lambda: compare_downsamplers.Comparison(seeds=()),
            "`seeds` must be one or more",
        ),
    ],
)
def test_values_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_comparison_prints_mean_and_deviation(folder, tmp_path):
    base = tiny(folder, tmp_path, epochs=1)
    config = compare_downsamplers.Comparison(
        base=base, downsamplers=("conv",), seeds=(0, 1)
    )
    console = Console(record=True, width=120)
    assert compare_downsamplers.main(config, console) == 0
    rows = [training.read_table(tmp_path / f"conv-{s}" / "table.csv") for s in (0, 1)]
    mean = np.mean([row["loss"] for row in rows])
    assert f"{mean:.4f} ±" in console.export_text()


@pytest.mark.slow
def test_command_line_names_what_is_missing(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.classification.imagenet_resnet50"),
            *("--data.source", str(tmp_path / "nowhere")),
            *("--workdir", str(tmp_path / "run")),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "`source` must be an existing folder" in done.stdout


FULL = Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)


def test_jitter_of_nothing_changes_nothing():
    image = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.testing.assert_array_equal(Jitter()(jax.random.key(0), image), image)


def test_jitter_changes_each_image_in_its_own_way():
    image = np.full((3, 2, 2, 3), [200, 100, 50], np.uint8)
    changed = np.asarray(FULL(jax.random.key(0), image))
    assert 0 <= changed.min() < changed.max() <= 255
    assert len({tuple(colour) for colour in changed[:, 0, 0].round(3)}) == 3
    again = FULL(jax.random.key(0), image)
    np.testing.assert_array_equal(changed, again)


def test_grey_images_have_no_colour_to_change():
    image = np.full((2, 2, 2, 3), 90, np.uint8)
    changed = Jitter(saturation=0.5, hue=0.5)(jax.random.key(1), image)
    np.testing.assert_allclose(changed, image, atol=0.05)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"contrast": 1.0}, r"`contrast` must lie in \[0, 1\), got 1.0"),
        ({"hue": 0.6}, r"`hue` must lie in \[0, 0.5\], got 0.6"),
        ({"brightness": -0.1}, r"`brightness` must lie in \[0, 1\), got -0.1"),
    ],
)
def test_jitter_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Jitter(**fields)


@pytest.mark.slow
def test_jittered_run_trains(folder, tmp_path):
    status, text = main(tiny(folder, tmp_path, jitter=FULL, epochs=1))
    assert status == 0, text
