"""The training set of a run in its folder."""

import dataclasses
import json

import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.tasks.training_set import TrainingSet, claim_training_set

OWN = TrainingSet(images=4, objects=9, digest="a1")


def resumable(folder):
    (folder / "checkpoints" / "4").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": 5}, "5 images with 9 objects to train on. Give another `workdir`"),
        ({"objects": 1}, "4 images with 1 object to train on. Give"),
        (
            {"digest": "b2"},
            "4 images with 9 objects to train on, but with other file names,",
        ),
    ],
)
def test_resumed_run_must_have_the_same_training_set(tmp_path, changed, words):
    claim_training_set(tmp_path, OWN)
    claim_training_set(resumable(tmp_path), OWN)
    message = f"started with, 4 images with 9 objects to train on, got {words}"
    other = dataclasses.replace(OWN, **changed)
    with pytest.raises(RefusedError, match=message):
        claim_training_set(tmp_path, other)
    claim_training_set(tmp_path, OWN)


def test_set_without_objects_is_described_by_its_images(tmp_path):
    claim_training_set(tmp_path, TrainingSet(images=4, digest="a1"))
    message = "started with, 4 images, got 4 images, but with other file names,"
    with pytest.raises(RefusedError, match=message):
        claim_training_set(resumable(tmp_path), TrainingSet(images=4, digest="b2"))


def test_run_without_checkpoints_starts_with_another_training_set(tmp_path):
    claim_training_set(tmp_path, OWN)
    other = dataclasses.replace(OWN, images=5)
    claim_training_set(tmp_path, other)
    stored = json.loads((tmp_path / "training_set.json").read_text())
    assert stored == {"images": 5, "objects": 9, "digest": "a1"}


def test_run_of_an_earlier_version_gets_the_file(tmp_path):
    claim_training_set(resumable(tmp_path), OWN)
    assert (tmp_path / "training_set.json").exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"images": 1}'])
def test_damaged_file_is_refused(tmp_path, content):
    (resumable(tmp_path) / "training_set.json").write_text(content)
    with pytest.raises(RefusedError, match=r"training_set\.json is damaged"):
        claim_training_set(tmp_path, OWN)
