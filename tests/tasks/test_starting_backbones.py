"""Backbones of segmentation and detection that a run of classification trained."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig
from carafe_jax.tasks.run import train_and_report
from carafe_jax.tasks.run_config import Start
from carafe_jax.tasks.run_folder import check_run, starting_weights
from carafe_jax.train import load_weights
from tests.tasks.detection.drawn_folder import drawn_folder as drawn_objects
from tests.tasks.runs import (
    call,
    classification,
    detection,
    labelled_folder,
    segmentation,
)
from tests.tasks.segmentation.drawn_folder import drawn_folder as drawn_label_maps

BACKBONE: dict[str, Any] = {"depth": 18, "width": 2, "downsampler": "carafe"}
TASKS = {"segmentation": segmentation, "detection": detection}
FOLDERS = {"segmentation": drawn_label_maps, "detection": drawn_objects}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run of classification with the deep stem and CARAFE++."""
    root = tmp_path_factory.mktemp("classification")
    config = classification(
        labelled_folder(root / "images"),
        root / "run",
        epochs=1,
        network=ClassifierConfig(stem="deep", **BACKBONE),
    )
    assert call(train_and_report, config)[0] == 0
    return config.workdir


def started(task, folder, start, workdir=pathlib.Path("unused"), **network):
    config: Any = TASKS[task](folder, workdir, start=start)
    network = dataclasses.replace(config.network, **BACKBONE, **network)
    return dataclasses.replace(config, network=network)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_array_of_the_backbone_is_that_of_the_classifier(task, trained, tmp_path):
    folder = FOLDERS[task](tmp_path / "pictures")
    config = started(task, folder, Start(model=trained), stem="deep")
    check_run(config)
    weights: Any = starting_weights(config)
    given = weights()
    shapes = jax.eval_shape(config.make_task().init, jax.random.key(0))
    initial = jax.tree.map(lambda x: jnp.full(x.shape, 7, x.dtype), shapes)
    loaded, report = load_weights(initial, given)
    assert report.reshaped == ()
    assert not [name for name in report.missing if "/backbone/" in name]
    assert {name.split("/")[1] for name in report.unexpected} == {"classifier"}
    for collection in ("params", "batch_stats"):
        backbones = [x[collection]["backbone"] for x in (loaded, given)]
        assert jax.tree.structure(backbones[0]) == jax.tree.structure(backbones[1])
        for own, others in zip(*map(jax.tree.leaves, backbones), strict=True):
            np.testing.assert_array_equal(own, others)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_run_with_another_stem_is_refused_before_its_data_are_opened(
    task, trained, tmp_path
):
    config = started(task, "none", Start(model=trained), tmp_path / "run", stem="plain")
    words = r"`network\.stem` must be 'deep', .* to start from, .*run, got 'plain'"
    with pytest.raises(RefusedError, match=words):
        check_run(config)
    assert not (tmp_path / "run").exists()


def test_file_of_weights_with_another_stem_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "resnet18.npz"
    config = started("segmentation", "none", Start(weights=path), stem="deep")
    np.savez(path, x=np.zeros(1))
    plain = {"params": {"backbone": {"stem": {"conv1": {}, "norm1": {}}}}}
    monkeypatch.setattr(type(config), "convert_weights", lambda self, names: plain)
    words = r"`network\.stem` must be 'plain', .* from, .*resnet18\.npz, got 'deep'"
    weights: Any = starting_weights(config)
    with pytest.raises(RefusedError, match=words):
        weights()
