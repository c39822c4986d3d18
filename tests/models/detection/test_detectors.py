"""Whole detectors against mmdetection, stage by stage."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.models.detection import MaskRCNN
from carafe_jax.ops import paste_masks
from tests.detection_goldens import CASES_AND_DTYPES, check_close, load
from tests.detectors import images_of, make_detector, variables_of

STAGES = "extract", "score_anchors", "propose", "classify"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dtype"), CASES_AND_DTYPES)
def test_every_stage_and_the_detections_equal_those_of_mmdetection(name, dtype):
    found, stages = _run(name, dtype)
    _check_maps(name, stages)
    _check_regions(name, stages["propose"], stages["classify"])
    _check_detections(name, found)


def _run(name, dtype):
    """Return the detections, and the outputs of the backbone and of each stage."""
    detector = make_detector(name)
    with jax.enable_x64(dtype == "float64"):

        @jax.jit
        def run(variables, *arrays):
            return detector.apply(
                variables,
                *arrays,
                capture_intermediates=_is_stage,
                mutable=["intermediates"],
            )

        found, captured = jax.device_get(
            run(
                variables_of(name, dtype=dtype),
                images_of(name, dtype=dtype),
                jnp.asarray(load(name)["meta/img_shape"]),
                jnp.asarray(load(name)["meta/scale_factor"], dtype),
            )
        )
    stages = captured["intermediates"]
    outputs = {stage: stages[stage][0] for stage in STAGES}
    return found, {**outputs, "backbone": stages["backbone"]["__call__"][0]}


def _is_stage(module, method):
    return method in STAGES or (module.name, method) == ("backbone", "__call__")


def _check_maps(name, stages):
    """Compare the outputs of the backbone, of the neck and of the RPN."""
    arrays, check = load(name), functools.partial(check_close, name=name)
    for i, level in enumerate(stages["backbone"]):
        expected = arrays[f"ref64_test/backbone/{i}"]
        check(_nchw(level), expected, stage="test/backbone")
    pyramid = stages["extract"]
    for i, level in enumerate(pyramid):
        check(_nchw(level), arrays[f"ref64_test/neck/{i}"], stage="test/neck")
    for i, outputs in enumerate(stages["score_anchors"]):
        shape = (*pyramid[i].shape[:3], -1)
        logits = _nchw(np.reshape(outputs.logits, shape))
        deltas = _nchw(np.reshape(outputs.deltas, shape))
        check(logits, arrays[f"ref64_test/rpn_cls/{i}"], stage="test/rpn_cls")
        check(deltas, arrays[f"ref64_test/rpn_reg/{i}"], stage="test/rpn_reg")


def _check_regions(name, proposals, predictions):
    """Compare the proposals, and the outputs of the box head for them."""
    arrays, check = load(name), functools.partial(check_close, name=name)
    valid = np.asarray(proposals.boxes.valid)
    for i, mask in enumerate(valid):
        prefix, stage = f"ref64_test/proposals/{i}", "test/proposals"
        coordinates = proposals.boxes.coordinates[i][mask]
        check(coordinates, arrays[f"{prefix}/bboxes"], stage=f"{stage}/bboxes")
        scores = proposals.scores[i][mask]
        check(scores, arrays[f"{prefix}/scores"], stage=f"{stage}/scores")
    logits = np.asarray(predictions.logits)[valid]
    deltas = np.asarray(predictions.deltas)[valid]
    check(logits, arrays["ref64_test/cls_score"], stage="test/cls_score")
    deltas = deltas.reshape(len(deltas), -1)
    check(deltas, arrays["ref64_test/bbox_pred"], stage="test/bbox_pred")


def _check_detections(name, found):
    arrays, check = load(name), functools.partial(check_close, name=name)
    has_masks = isinstance(make_detector(name), MaskRCNN)
    detections = found.detections if has_masks else found
    assert detections.complete.all()
    for i, valid in enumerate(np.asarray(detections.boxes.valid)):
        prefix = f"ref64_test/det/{i}"
        boxes = detections.boxes.coordinates[i][valid]
        check(boxes, arrays[f"{prefix}/bboxes"], stage="test/det/bboxes")
        scores = detections.scores[i][valid]
        check(scores, arrays[f"{prefix}/scores"], stage="test/det/scores")
        labels = arrays[f"test/det/{i}/labels"]
        chex.assert_trees_all_equal(detections.classes[i][valid], labels)
        if has_masks:
            masks, size = found.masks[i][valid], arrays["meta/ori_shape"][i]
            pasted = paste_masks(masks, boxes, size=tuple(int(x) for x in size))
            expected = arrays[f"test/det/{i}/masks"].astype(bool)
            # The manifest's bound: pixels at the threshold of 0.5 may differ.
            assert (pasted != expected).mean() <= 1e-4


def _nchw(x):
    return np.asarray(x).transpose(0, 3, 1, 2)
