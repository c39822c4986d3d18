"""Suppression within classes against mmdetection's results, and what limits it."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import clip_boxes, decode_boxes, multiclass_nms
from tests import detection_goldens

GOLDEN = (
    pathlib.Path(__file__).parents[1] / "goldens" / "detection" / "multiclass_nms.npz"
)
f32 = functools.partial(np.array, dtype=np.float32)
OPTIONS = {"score_threshold": 0.05, "iou_threshold": 0.5, "max_outputs": 100}


@functools.cache
def compiled(**options):
    options = {**OPTIONS, "max_candidates": 2000, **options}
    return jax.jit(functools.partial(multiclass_nms, **options))


def detections_of(boxes, scores, *, valid=None, **options):
    valid = np.ones(len(boxes), bool) if valid is None else valid
    return compiled(**options)(boxes, scores, valid=valid)


def load():
    golden = np.load(GOLDEN)
    # The last class is the background.
    return golden, golden["multi_bboxes"], golden["multi_scores"][:, :-1]


def disjoint_boxes(n, k):
    starts = 10 * np.arange(n * k, dtype=np.float32).reshape(n, k, 1)
    return np.concatenate([starts, starts, starts + 1, starts + 1], axis=-1)


# There are 878 candidates.
@pytest.mark.parametrize("options", [{"max_candidates": 300}, {}])
def test_detections_are_those_of_mmdetection(options):
    golden, boxes, scores = load()
    found = detections_of(boxes, scores, **options)
    assert found.valid.all()
    assert found.complete
    pairs = np.asarray(found.boxes) * scores.shape[1] + np.asarray(found.classes)
    np.testing.assert_array_equal(pairs, golden["keep"])
    np.testing.assert_array_equal(found.classes, golden["labels"])
    np.testing.assert_array_equal(found.scores, golden["dets"][:, 4])
    np.testing.assert_array_equal(
        boxes[found.boxes, found.classes], golden["dets"][:, :4]
    )


# Faster R-CNN divides the boxes by the scale factors before, Mask R-CNN after. Those of
# the other detectors are compared in `models/detection`.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["faster_rcnn_fpn", "mask_rcnn_fpn"])
def test_detections_from_logits_and_deltas_are_those_of_mmdetection(name):
    golden, fields = detection_goldens.load(name), detection_goldens.describe(name)
    classes = fields["ctor"]["num_classes"]
    for image in detection_goldens.images_of(name):
        rois, logits, deltas = (
            golden[f"ref64_test/{kind}"][golden["ref64_test/rois"][:, 0] == image]
            for kind in ("rois", "cls_score", "bbox_pred")
        )
        factors = np.tile(golden["meta/scale_factor"][image], 2)
        before = factors if name.startswith("faster") else np.ones(4)
        with jax.enable_x64(True):
            deltas = deltas.reshape(-1, classes, 4).astype(np.float64)
            boxes = decode_boxes(deltas, rois[:, None, 1:], stds=(0.1, 0.1, 0.2, 0.2))
            size = golden["meta/img_shape"][image].tolist()
            boxes = np.asarray(clip_boxes(boxes, size)) / before
            scores = np.asarray(jax.nn.softmax(logits.astype(np.float64)))[:, :-1]
            found = detections_of(
                boxes, scores, max_outputs=fields["ctor"]["det_max_per_img"]
            )
        count = int(found.valid.sum())
        rows, labels = found.boxes[:count], found.classes[:count]
        chosen = boxes[rows, labels] * before / factors
        kinds = {"bboxes": chosen, "scores": found.scores[:count]}
        for kind, array in kinds.items():
            expected = golden[f"ref64_test/det/{image}/{kind}"]
            stage = f"test/det/{kind}"
            detection_goldens.check_close(array, expected, name=name, stage=stage)
        np.testing.assert_array_equal(labels, golden[f"test/det/{image}/labels"])


def test_too_few_candidates_are_reported():
    _, boxes, scores = load()
    every = detections_of(boxes, scores)
    some = detections_of(boxes, scores, max_candidates=90)
    count = int(some.valid.sum())
    assert count < 90
    assert not some.complete
    for few, many in zip(some[:3], every[:3], strict=True):
        np.testing.assert_array_equal(few[:count], many[:count])
        assert not few[count:].any()


def test_detections_are_complete_if_nothing_is_left_out():
    scores = f32([[0.9, 0.04], [0.8, 0.7]])
    find = functools.partial(detections_of, disjoint_boxes(2, 2), scores)
    # Three candidates: all compared; two compared; enough of them kept.
    assert find(max_candidates=3).complete
    assert not find(max_candidates=2).complete
    assert find(max_candidates=2, max_outputs=2).complete


def test_a_score_at_the_threshold_is_no_candidate():
    scores = f32([[0.5, 0.25], [0.75, 0.0]])
    found = detections_of(disjoint_boxes(2, 2), scores, score_threshold=0.5)
    assert found.valid.sum() == 1
    assert (found.boxes[0], found.classes[0], found.scores[0]) == (1, 0, 0.75)


def test_classes_do_not_suppress_each_other():
    boxes = np.broadcast_to(f32([0, 0, 4, 4]), (2, 2, 4))
    scores = f32([[0.6, 0.9], [0.7, 0.8]])
    found = detections_of(boxes, scores, max_outputs=4)
    assert found.boxes.tolist() == [0, 1, 0, 0]
    assert found.classes.tolist() == [1, 0, 0, 0]
    assert found.valid.tolist() == [True, True, False, False]


def test_without_detections_all_is_zero_and_not_valid():
    boxes, scores = disjoint_boxes(3, 2), np.full((3, 2), 0.01, np.float32)
    for found in (
        detections_of(boxes, scores, max_outputs=4),
        detections_of(boxes, scores + 1, valid=np.zeros(3, bool), max_outputs=4),
    ):
        assert not any(np.any(field) for field in found[:4])
        assert found.complete


def test_rows_of_padding_change_nothing():
    _, boxes, scores = load()
    expected = detections_of(boxes, scores)
    boxes = np.concatenate([boxes, np.full((6, *boxes.shape[1:]), np.nan, np.float32)])
    scores = np.concatenate([scores, np.ones((6, scores.shape[1]), np.float32)])
    found = detections_of(boxes, scores, valid=np.arange(len(boxes)) < len(boxes) - 6)
    for field, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(field, other)


def test_images_under_vmap_do_not_influence_each_other():
    _, boxes, scores = load()
    boxes = boxes[:240].reshape(3, 80, 12, 4)
    scores = scores[:240].reshape(3, 80, 12)
    valid = np.ones((3, 80), bool)
    valid[1, 5:] = False

    def run(boxes, scores, valid):
        return detections_of(boxes, scores, valid=valid)

    found = jax.jit(jax.vmap(run))(boxes, scores, valid)
    for image in range(3):
        one = detections_of(boxes[image], scores[image], valid=valid[image])
        for field, other in zip(found, one, strict=True):
            np.testing.assert_array_equal(field[image], other)


def test_scores_keep_their_dtype_and_have_a_gradient():
    scores = jnp.asarray([[0.5, 0.25], [0.75, 0.0]], jnp.bfloat16)
    boxes = jnp.asarray(disjoint_boxes(2, 2), jnp.bfloat16)

    def total(boxes, scores):
        found = detections_of(boxes, scores, max_outputs=2)
        assert found.scores.dtype == jnp.bfloat16
        return found.scores.sum()

    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        jax.debug_nans(True),
    ):
        of_boxes, of_scores = jax.jit(jax.grad(total, (0, 1)))(boxes, scores)
    assert not of_boxes.any()
    assert of_scores.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_candidates": 0}, "`max_candidates` must be positive, got 0"),
        ({"iou_threshold": -1}, r"`iou_threshold` must lie in \[0, 1\], got -1"),
        ({"scores": np.zeros(3)}, r"`scores` must have shape \(N, K\), .* got \(3,\)"),
        ({"scores": np.zeros((3, 0))}, r"at least one row and one class, got \(3, 0\)"),
        (
            {"boxes": np.zeros((3, 4))},
            r"`boxes` must have shape \(3, 2, 4\) .* \(3, 4\)",
        ),
        ({"valid": np.ones(2, bool)}, r"`valid` must have shape \(3,\) .* got \(2,\)"),
        ({"valid": np.ones(3)}, "`valid` must be Boolean, got float"),
        ({"boxes": np.zeros((3, 2, 4), int)}, "`boxes` must be floating, got dtype in"),
        ({"score_threshold": float("nan")}, "`score_threshold` must be finite, got na"),
        ({"score_threshold": "0.5"}, "`score_threshold` must be finite, got '0.5'"),
        ({"max_candidates": 2.5}, "`max_candidates` must be an integer, got 2.5"),
        ({"max_outputs": 2.5}, "`max_outputs` must be an integer, got 2.5"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {
        "boxes": disjoint_boxes(3, 2),
        "scores": np.zeros((3, 2), np.float32),
        "valid": np.ones(3, bool),
        **OPTIONS,
        **change,
    }
    with pytest.raises(RefusedError, match=message):
        multiclass_nms(**arguments)
