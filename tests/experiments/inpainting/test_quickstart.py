import dataclasses
import os
import signal
import subprocess
import sys
import time

import chex
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from carafe_jax.train import train
from experiments.inpainting import quickstart, report
from experiments.inpainting.fills import biharmonic, mean_colour
from experiments.inpainting.task import InpaintingTask, quality

tiny_options = [
    *("--model.stage-features", "4", "8"),
    *("--data.crop-size", "16", "--data.batch-size", "2", "--data.test-crops", "1"),
    *("--loop.log-every", "1", "--loop.evaluate-every", "2", "--loop.save-every", "2"),
]


def tiny(workdir, *, resampler="conv", steps=4):
    default = quickstart.Quickstart()
    return dataclasses.replace(
        default,
        model=dataclasses.replace(
            default.model, resampler=resampler, stage_features=(4, 8)
        ),
        data=dataclasses.replace(
            default.data, crop_size=16, batch_size=2, test_crops=1
        ),
        loop=dataclasses.replace(
            default.loop, steps=steps, log_every=1, evaluate_every=2, save_every=2
        ),
        workdir=workdir,
    )


def main(config):
    console = Console(record=True, width=100)
    return quickstart.main(config, console), console.export_text()


def train_task(config):
    task = InpaintingTask(config.model, config.loss, config.data)
    return train(
        task, optimizer=config.optimizer, loop=config.loop, workdir=config.workdir
    )


@pytest.mark.parametrize("resampler", ["carafe", "conv"])
def test_run_ends_with_a_picture_and_a_table(tmp_path, resampler):
    status, text = main(tiny(tmp_path, resampler=resampler))
    assert status == 0
    results = report.read_table(tmp_path / "table.csv")
    name = {"carafe": "U-Net, CARAFE++", "conv": "U-Net"}[resampler]
    assert list(results) == ["mean colour", "biharmonic", name]
    assert all(np.isfinite(list(row.values())).all() for row in results.values())
    assert f"{results['biharmonic']['hole_psnr']:.2f}" in text
    with Image.open(tmp_path / "samples.png") as picture:
        # Input, biharmonic, network, truth: two test pictures.
        assert picture.size == (4 * 196 - 4, 24 + 2 * 196 - 4)


def test_finished_run_shows_its_table_and_how_to_start_afresh(tmp_path):
    main(tiny(tmp_path))
    before = (tmp_path / "table.csv").read_text()
    status, text = main(tiny(tmp_path))
    assert status == 0
    assert "rm -r" in text
    assert "mean colour" in text
    assert (tmp_path / "table.csv").read_text() == before


def test_changed_configuration_in_the_same_folder_is_refused(tmp_path):
    main(tiny(tmp_path))
    with pytest.raises(
        ValueError, match=r"`model.resampler` is 'carafe' but was 'conv'"
    ):
        main(tiny(tmp_path, resampler="carafe"))


@pytest.mark.slow
def test_stopped_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = train_task(tiny(tmp_path / "whole", steps=5))
    config = tiny(tmp_path / "parts", steps=5)
    batches = InpaintingTask.batches

    class Stopping:
        """Sends SIGTERM with the third batch."""

        def __init__(self, iterator):
            self.iterator, self.taken = iterator, 0

        def __next__(self):
            self.taken += 1
            if self.taken == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return next(self.iterator)

        def __iter__(self):
            return self

        def get_state(self):
            return self.iterator.get_state()

        def set_state(self, state):
            self.iterator.set_state(state)

    with monkeypatch.context() as patch:
        patch.setattr(InpaintingTask, "batches", lambda task: Stopping(batches(task)))
        stopped = train_task(config)
    assert int(stopped.state.step) == 3
    resumed = train_task(config)
    assert int(resumed.state.step) == 5
    chex.assert_trees_all_equal(resumed.state.params, whole.state.params)
    chex.assert_trees_all_equal(resumed.state.opt_state, whole.state.opt_state)
    assert resumed.scalars == whole.scalars


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow
def test_signalled_command_saves_and_says_how_to_go_on(tmp_path, number):
    command = [
        *(sys.executable, "-m", "experiments.inpainting.quickstart"),
        *("--model.resampler", "conv", "--loop.steps", "100000"),
        *("--workdir", str(tmp_path / "run"), *tiny_options),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    scalars = tmp_path / "run" / "scalars.csv"
    deadline = time.monotonic() + 120
    while not (scalars.exists() and "test" in scalars.read_text()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run never got to an evaluation"
        time.sleep(0.2)
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, text
    assert "Traceback" not in text
    assert "The same command goes on from here." in " ".join(text.split())
    assert any(p.name.isdigit() for p in (tmp_path / "run" / "checkpoints").iterdir())


def test_mistyped_source_does_not_spoil_the_folder(tmp_path):
    wrong = tiny(tmp_path)
    wrong = dataclasses.replace(
        wrong, data=dataclasses.replace(wrong.data, source=str(tmp_path / "typo"))
    )
    with pytest.raises(ValueError, match="typo"):
        main(wrong)
    status, _ = main(tiny(tmp_path))
    assert status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.source", "/nowhere"], "/nowhere"),
        (["--data.crop-size", "5000"], "crop_size"),
        (["--data.source", "tfds:[mine]"], "pip install 'carafe-jax[tfds]'"),
        (["--loop.steps", "0"], "steps"),
    ],
)
@pytest.mark.slow
def test_wrong_options_end_in_one_line_without_a_traceback(tmp_path, options, message):
    command = [
        *(sys.executable, "-m", "experiments.inpainting.quickstart", *tiny_options),
        *("--workdir", str(tmp_path / "run"), *options),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert message in done.stdout + done.stderr, done
    assert "Traceback" not in done.stdout + done.stderr


def test_mean_colour_is_that_of_the_given_pixels():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, 0] = [[0.5, 0.25, -1.0], [0.0, 0.25, 1.0]]
    image[0, 1] = 9.0
    mask = np.zeros((1, 2, 2, 1), np.float32)
    mask[0, 1] = 1
    filled = mean_colour({"image": image, "mask": mask})
    np.testing.assert_allclose(filled[0, 1], [[0.25, 0.25, 0.0]] * 2)
    np.testing.assert_array_equal(filled[0, 0], image[0, 0])


def test_biharmonic_fill_continues_a_ramp():
    ramp = np.linspace(-0.9, 0.9, 16, dtype=np.float32)
    image = np.broadcast_to(ramp[None, None, :, None], (1, 16, 16, 3))
    mask = np.zeros((1, 16, 16, 1), np.float32)
    mask[0, 6:10, 6:10] = 1
    filled = biharmonic({"image": image, "mask": mask})
    # A linear function is biharmonic, so only rounding is left.
    np.testing.assert_allclose(filled, image, atol=1e-4)


def test_quality_of_the_truth_is_perfect():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    mask = (rng.random((2, 16, 16, 1)) < 0.3).astype(np.float32)
    measured = quality(image, {"image": image, "mask": mask})
    assert measured["hole_l1"] == measured["whole_l1"] == 0
    assert measured["hole_psnr"] == np.inf
    # Float32 rounding of the local variances.
    assert measured["whole_ssim"] == pytest.approx(1, abs=1e-4)
