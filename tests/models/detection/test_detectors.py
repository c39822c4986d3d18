"""Whole detectors against mmdetection, stage by stage."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.models.detection import MaskRCNN
from carafe_jax.ops import paste_masks
from tests.detection_goldens import CASES, check_close, load
from tests.detectors import images_of, make_detector, variables_of

DTYPES = ("float32", "float64")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_every_stage_equals_that_of_mmdetection(name, dtype):
    arrays = load(name)
    check = functools.partial(check_close, name=name)
    with jax.enable_x64(dtype == "float64"):
        stages = _run(name, dtype)
    for i, level in enumerate(stages["pyramid"]):
        check(_nchw(level), arrays[f"ref64_test/neck/{i}"], stage="test/neck")
    for i, (outputs, level) in enumerate(
        zip(stages["rpn"], stages["pyramid"], strict=True)
    ):
        shape = (*level.shape[:3], -1)
        logits = _nchw(np.reshape(outputs.logits, shape))
        deltas = _nchw(np.reshape(outputs.deltas, shape))
        check(logits, arrays[f"ref64_test/rpn_cls/{i}"], stage="test/rpn_cls")
        check(deltas, arrays[f"ref64_test/rpn_reg/{i}"], stage="test/rpn_reg")
    proposals, valid = stages["proposals"], np.asarray(stages["proposals"].boxes.valid)
    for i, mask in enumerate(valid):
        prefix, stage = f"ref64_test/proposals/{i}", "test/proposals"
        boxes, scores = arrays[f"{prefix}/bboxes"], arrays[f"{prefix}/scores"]
        coordinates = proposals.boxes.coordinates[i][mask]
        check(coordinates, boxes, stage=f"{stage}/bboxes")
        check(proposals.scores[i][mask], scores, stage=f"{stage}/scores")
    predictions = stages["predictions"]
    logits = np.asarray(predictions.logits)[valid]
    deltas = np.asarray(predictions.deltas)[valid]
    check(logits, arrays["ref64_test/cls_score"], stage="test/cls_score")
    deltas = deltas.reshape(len(deltas), -1)
    check(deltas, arrays["ref64_test/bbox_pred"], stage="test/bbox_pred")


def _run(name, dtype):
    detector = make_detector(name)
    variables = variables_of(name, dtype=dtype)
    sizes = jnp.asarray(load(name)["meta/img_shape"], dtype)

    @jax.jit
    def run(variables, images):
        apply: Any = functools.partial(detector.apply, variables)
        pyramid = apply(images, method="extract")
        proposals = apply(pyramid, sizes, method="propose")
        return {
            "pyramid": pyramid,
            "rpn": apply(pyramid, method="score_anchors"),
            "proposals": proposals,
            "predictions": apply(pyramid, proposals.boxes, method="classify"),
        }

    return jax.device_get(run(variables, images_of(name, dtype=dtype)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_detections_equal_those_of_mmdetection(name, dtype):
    arrays, detector = load(name), make_detector(name)
    with jax.enable_x64(dtype == "float64"):
        sizes = jnp.asarray(arrays["meta/img_shape"])
        factors = jnp.asarray(arrays["meta/scale_factor"], dtype)
        found: Any = jax.jit(detector.apply)(
            variables_of(name, dtype=dtype),
            images_of(name, dtype=dtype),
            sizes,
            factors,
        )
        found = jax.device_get(found)
    detections = found.detections if isinstance(detector, MaskRCNN) else found
    assert detections.complete.all()
    for i, valid in enumerate(np.asarray(detections.boxes.valid)):
        prefix, check = f"ref64_test/det/{i}", functools.partial(check_close, name=name)
        boxes = detections.boxes.coordinates[i][valid]
        check(boxes, arrays[f"{prefix}/bboxes"], stage="test/det/bboxes")
        scores = detections.scores[i][valid]
        check(scores, arrays[f"{prefix}/scores"], stage="test/det/scores")
        labels = arrays[f"test/det/{i}/labels"]
        chex.assert_trees_all_equal(detections.classes[i][valid], labels)
        if isinstance(detector, MaskRCNN):
            masks, size = found.masks[i][valid], arrays["meta/ori_shape"][i]
            pasted = paste_masks(masks, boxes, size=tuple(int(x) for x in size))
            expected = arrays[f"test/det/{i}/masks"].astype(bool)
            # The manifest's bound: pixels at the threshold of 0.5 may differ.
            assert (pasted != expected).mean() <= 1e-4


def _nchw(x):
    return np.asarray(x).transpose(0, 3, 1, 2)
