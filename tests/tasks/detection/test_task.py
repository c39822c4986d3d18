"""The task of detection: its loss, and what its runs start from."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import ClassifierConfig
from carafe_jax.models.detection import DetectorConfig
from carafe_jax.tasks.detection import DetectionData, DetectionRun, detection_losses
from carafe_jax.tasks.detection import task as module
from carafe_jax.tasks.detection.loss import DetectionLosses
from carafe_jax.tasks.run_config import Start
from carafe_jax.tasks.run_folder import check_run
from carafe_jax.train import Adam, Loop, load_weights
from carafe_jax.train.mesh import make_mesh
from carafe_jax.train.step import abstract_state, make_train_step
from tests import tiny_detectors
from tests.tasks.detection.drawn_folder import drawn_folder
from tests.tasks.runs import detection


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return drawn_folder(tmp_path_factory.mktemp("pictures"))


def run_of(folder, **network) -> DetectionRun:
    run = detection(folder, pathlib.Path("unused"))
    return dataclasses.replace(run, network=dataclasses.replace(run.network, **network))


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", [{}, {"detector": "faster_rcnn", "dtype": "bfloat16"}]
)
def test_losses_are_float32_and_named(folder, network):
    task: Any = run_of(folder, **network).make_task()
    variables = jax.eval_shape(task.init, jax.random.key(0))
    batch = next(task.batches())
    total, auxiliary = jax.eval_shape(task.loss, variables, batch, jax.random.key(0))
    names = {"rpn_objectness", "rpn_boxes", "classes", "boxes", "accuracy"}
    masks = set() if network else {"masks"}
    assert set(auxiliary.scalars) == names | masks
    assert {x.dtype.name for x in [total, *auxiliary.scalars.values()]} == {"float32"}
    assert set(auxiliary.collections) == {"batch_stats"}


def test_weight_of_a_microbatch_is_the_number_of_its_images(folder, monkeypatch):
    zeros: dict[str, Any] = dict.fromkeys(DetectionLosses._fields, jnp.zeros(()))
    losses = DetectionLosses(**{**zeros, "collections": {}})
    monkeypatch.setattr(module, "detection_losses", lambda *args, **options: losses)
    task: Any = run_of(folder).make_task()
    batch = jax.tree.map(jnp.asarray, next(task.batches()))
    # All but the first image fill the batch.
    batch["weight"] = jnp.where(jnp.arange(len(batch["weight"])) > 0, 0, 1.0)
    _, auxiliary = task.loss({}, batch, jax.random.key(0))
    assert auxiliary.weight == 1


@pytest.mark.slow
def test_step_accumulates_the_gradients_of_microbatches(folder):
    task: Any = run_of(folder).make_task()
    loop, mesh = Loop(steps=4, accumulate=2), make_mesh()
    optimizer = Adam()
    state = abstract_state(task, optimizer, loop, mesh=mesh)
    step = make_train_step(task, loop, mesh=mesh, optimizer=optimizer)
    batch = next(task.batches())
    after, scalars = jax.eval_shape(step, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert scalars["masks"].shape == ()


@pytest.mark.slow
def test_trained_norms_update_their_statistics_and_frozen_ones_do_not():
    network = tiny_detectors.CONFIG
    detector = dataclasses.replace(network, frozen_stages=0).make(3)
    variables = tiny_detectors.variables_of(detector)
    losses = functools.partial(
        detection_losses, detector, settings=tiny_detectors.TRAINING
    )
    given = variables, tiny_detectors.batch(), jax.random.key(0)
    assert jax.eval_shape(losses, *given).collections == {}
    losses = functools.partial(losses, norms="batch")
    found = jax.eval_shape(losses, *given).collections

    @jax.jit
    def extract(images):
        return detector.apply(
            variables, images, True, method="extract", mutable=["batch_stats"]
        )

    _, updated = extract(tiny_detectors.batch().images)
    assert jax.tree.structure(found) == jax.tree.structure(updated)
    updated = updated["batch_stats"]
    before = variables["batch_stats"]["backbone"]
    for part, changes in {"stem": False, "res2_0": True, "res5_0": True}.items():
        differs = jax.tree.map(
            lambda x, y: bool(np.any(x != y)), updated["backbone"][part], before[part]
        )
        assert set(jax.tree.leaves(differs)) == {changes}, part


def test_backbone_of_a_classifier_is_loaded_into_that_of_a_detector():
    fields: dict[str, Any] = {"depth": 18, "width": 4, "downsampler": "carafe"}
    classifier = ClassifierConfig(**fields).make(classes=5)
    image = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(classifier.init, jax.random.key(0), image)
    weights = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), shapes)
    config = dataclasses.replace(tiny_detectors.CONFIG, **fields)
    variables = tiny_detectors.variables_of(config.make(3))
    loaded, report = load_weights(variables, weights)
    assert report.reshaped == ()
    assert all(x.startswith("params/classifier/") for x in report.unexpected)
    parts = {name.split("/")[1] for name in report.missing}
    assert parts == {"fpn", "rpn", "box_head", "mask_head"}
    for collection in ("params", "batch_stats"):
        for leaf in jax.tree.leaves(loaded[collection]["backbone"]):
            assert (leaf == 1).all()


def test_parts_that_are_frozen_need_weights_to_start_from(folder):
    run = run_of(folder, norms="frozen")
    with pytest.raises(RefusedError, match=r"`start` must give .*--start\.weights F"):
        run.make_task()
    run = run_of(folder, frozen_stages=1)
    with pytest.raises(RefusedError, match=r"`network\.frozen_stages` 1 without any"):
        run.make_task()


def test_defaults_need_a_source_and_then_weights(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = r"`source` must be an existing folder with annotations/inst.*, got 'coco'"
    with pytest.raises(RefusedError, match=words):
        DetectionRun().make_task()
    (tmp_path / "coco").symlink_to(folder)
    with pytest.raises(RefusedError, match="`start` must give the weights"):
        DetectionRun().make_task()


def test_masks_of_a_data_set_of_tfds_are_refused_before_weights():
    run = DetectionRun(data=DetectionData(source="tfds:coco/2017"))
    with pytest.raises(RefusedError, match=r"`source` must have instance masks, got"):
        run.make_task()
    boxes = dataclasses.replace(run, network=DetectorConfig(detector="faster_rcnn"))
    with pytest.raises(RefusedError, match="`start` must give the weights"):
        boxes.make_task()


def test_file_of_weights_is_checked_before_the_data_are_opened(tmp_path):
    run = run_of("nowhere")
    for name, words in (
        ("none.pth", "`start.weights` must be a file that exists"),
        ("weights.h5", "`start.weights` must end with one of"),
    ):
        start = Start(weights=tmp_path / name)
        started = dataclasses.replace(run, start=start, workdir=tmp_path / "run")
        with pytest.raises(RefusedError, match=words):
            check_run(started)
    with pytest.raises(RefusedError, match="One of `model` and `weights` must be None"):
        Start(weights=tmp_path, model=tmp_path)


def test_resumed_run_with_another_training_set_is_refused(tmp_path):
    root, workdir = drawn_folder(tmp_path / "data"), tmp_path / "run"
    run_of(root).make_task().prepare(workdir)
    (workdir / "checkpoints" / "2").mkdir(parents=True)
    run_of(root).make_task().prepare(workdir)
    (root / "train" / "3.png").unlink()
    words = "4 images with 8 objects to train on, got 3 images with 6 objects"
    with pytest.raises(RefusedError, match=words):
        run_of(root).make_task().prepare(workdir)


def test_name_in_tables_is_that_of_the_network():
    assert DetectionRun().network_name == DetectorConfig().name
