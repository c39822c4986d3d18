"""Detectors of mmdetection's checkpoints, and weights that runs start from."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import mmdetection_to_flax, torchvision_resnet_to_flax
from carafe_jax.models import ResNet50
from carafe_jax.models.backbones import choices
from carafe_jax.models.detection import MMDETECTION_CONFIGS
from carafe_jax.ops import paste_masks
from carafe_jax.tasks.detection import load_mmdetection, loading
from carafe_jax.tasks.pytorch_weights import convert_detector
from tests.detection_goldens import check_close, describe, load
from tests.detectors import config_of

NAME = "mask_rcnn_r50_fpn_carafe_1x_coco"
GOLDEN = "mask_rcnn_fpn_carafe"
PREFIX = "state_dict/"
CLASSES = ("ant", "bee", "cow")


def weights() -> Any:
    """Return the weights of a small detector by mmdetection's names."""
    return {
        name.removeprefix(PREFIX): x
        for name, x in load(GOLDEN).items()
        if name.startswith(PREFIX)
    }


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "checkpoint.npz"
    np.savez(path, **weights())
    return path


@pytest.fixture
def small(monkeypatch):
    """Make a configuration as small as the checkpoint."""
    blocks = describe(GOLDEN)["ctor"]["stage_blocks"]
    small_resnet = functools.partial(ResNet50, stage_sizes=blocks)
    monkeypatch.setitem(choices.RESNETS, 50, small_resnet)
    monkeypatch.setitem(MMDETECTION_CONFIGS, NAME, config_of(GOLDEN))


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_checkpoint_detects_what_mmdetection_detects(checkpoint):
    detector = load_mmdetection(checkpoint, config=NAME, classes=CLASSES)
    arrays, check = load(GOLDEN), functools.partial(check_close, name=GOLDEN)
    count, _, height, width = arrays["input/images"].shape
    images = np.zeros((count, height, width, 3), np.uint8)
    for i, image in enumerate(images):
        raw = arrays[f"input/raw/{i}"]
        image[: raw.shape[0], : raw.shape[1]] = raw[..., ::-1]  # From BGR.
    batch = {
        "image": images,
        "image_size": arrays["meta/img_shape"],
        "scale_factor": arrays["meta/scale_factor"].astype(np.float32),
    }
    found = jax.device_get(jax.jit(detector.predict)(batch))
    for i, valid in enumerate(found["object"]):
        prefix = f"ref64_test/det/{i}"
        boxes = found["box"][i][valid]
        check(boxes, arrays[f"{prefix}/bboxes"], stage="test/det/bboxes")
        scores = found["score"][i][valid]
        check(scores, arrays[f"{prefix}/scores"], stage="test/det/scores")
        labels = arrays[f"test/det/{i}/labels"]
        np.testing.assert_array_equal(found["label"][i][valid], labels)
        size = tuple(int(x) for x in arrays["meta/ori_shape"][i])
        pasted = paste_masks(found["mask"][i][valid], boxes, size=size)
        expected = arrays[f"test/det/{i}/masks"].astype(bool)
        assert (pasted != expected).mean() <= 1e-4


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("level", "width"), [("lateral", 128), ("pool", 96)])
def test_photographs_are_padded_as_mmdetection_pads_for_its_configuration(
    level, width, checkpoint, monkeypatch
):
    config = dataclasses.replace(config_of(GOLDEN), extra_level=level)
    monkeypatch.setitem(MMDETECTION_CONFIGS, NAME, config)
    monkeypatch.setattr(loading, "_check_variables", lambda *args, **fields: None)
    detector = load_mmdetection(checkpoint, config=NAME, classes=CLASSES)
    sizes = dataclasses.replace(detector.data, short_side=40, long_side=90)
    detector = dataclasses.replace(detector, data=sizes)
    prepared = detector._prepare(np.zeros((40, 90, 3), np.uint8))
    assert prepared.example["image"].shape == (64, width, 3)


@pytest.mark.usefixtures("small")
def test_classes_that_are_not_those_of_coco_must_be_named(checkpoint):
    with pytest.raises(RefusedError, match=r"`classes` must name the 3 .*, got none"):
        load_mmdetection(checkpoint, config=NAME)
    with pytest.raises(RefusedError, match=r"`classes` must name the 3 .*, got 2 of"):
        load_mmdetection(checkpoint, config=NAME, classes=CLASSES[:2])
    for classes in ("cat", ["cat", "cat", "owl"]):
        with pytest.raises(RefusedError, match="`classes` must be different names"):
            load_mmdetection(checkpoint, config=NAME, classes=classes)


def test_checkpoint_of_another_configuration_is_refused(checkpoint):
    words = r"`config` must be the configuration that trained .*checkpoint\.npz, got '"
    with pytest.raises(RefusedError, match=f"{words}{NAME}': .* is missing; .* more"):
        load_mmdetection(checkpoint, config=NAME, classes=CLASSES)


def test_unknown_configuration_and_file_are_refused(tmp_path):
    with pytest.raises(RefusedError, match="`config` must be one of faster_rcnn_r50_f"):
        load_mmdetection("x.npz", config="retinanet")  # pyright: ignore[reportArgumentType]
    with pytest.raises(RefusedError, match="`file` must be a file that exists"):
        load_mmdetection(tmp_path / "x.npz", config=NAME)
    other: Any = {"fc.weight": np.zeros((3, 2))}
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(RefusedError, match=r"other\.npz: `state_dict` must have the"):
        load_mmdetection(tmp_path / "other.npz", config=NAME)


def test_runs_start_from_detectors_and_from_backbones_by_the_names_in_a_file():
    state = weights()
    detector = convert_detector(state)
    expected = mmdetection_to_flax(state)
    backbone = {k: v for k, v in state.items() if k.startswith("backbone.")}
    resnet = {k.removeprefix("backbone."): v for k, v in backbone.items()}
    alone = torchvision_resnet_to_flax(resnet, absent=("fc",))
    for actual, wanted in (
        (detector, expected),
        (convert_detector(resnet), alone),
        (convert_detector({**backbone, "head.fc.weight": np.zeros((2, 2))}), alone),
    ):
        assert jax.tree.structure(actual) == jax.tree.structure(wanted)
        jax.tree.map(np.testing.assert_array_equal, actual, wanted)
