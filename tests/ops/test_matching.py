"""Matching of boxes to targets, against mmdetection and a loop."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import Boxes, match_boxes, prepend_targets
from tests import detection_goldens as goldens
from tests.nn.torch_goldens import load

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "low_quality_iou": 0.3}
RCNN = {"positive_iou": 0.5, "negative_iou": 0.5}
MASK_RCNN = {**RCNN, "low_quality_iou": 0.5}
RULES = {"rpn": RPN, "rcnn": RCNN, "mask_rcnn": MASK_RCNN}
MOST_ANCHORS = 4092
drawn = settings(max_examples=20, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(min_value=0, max_value=2**31)


@functools.cache
def jitted(kind):
    return jax.jit(functools.partial(match_boxes, **RULES[kind]))


def boxes_of(coordinates, valid=None, *, dtype=np.float32):
    valid = np.ones(len(coordinates), bool) if valid is None else valid
    return Boxes(jnp.asarray(coordinates, dtype), jnp.asarray(valid))


def matched_anchors(name, image, *, dtype):
    """Return the matches of the anchors of an image."""
    arrays = goldens.load(name)
    anchors, valid = arrays["ref64_test/anchors"], f"train/rpn/{image}/valid_anchors"
    padding = MOST_ANCHORS - len(anchors)  # One compilation for all detectors.
    boxes = boxes_of(
        np.pad(anchors, ((0, padding), (0, 0))),
        np.pad(arrays[valid] > 0, (0, padding)),
        dtype=dtype,
    )
    matches = jitted("rpn")(boxes, goldens.targets_of(name, image, dtype=dtype))
    return jax.tree.map(lambda x: np.asarray(x)[: len(anchors)], matches)


def inds_of(matches):
    """Return matches as mmdetection has them: 0 negative, g + 1 positive, else -1."""
    return np.where(matches.positive, matches.targets + 1, matches.negative - 1)


def drawn_boxes(seed, n, *, integer):
    generator = np.random.default_rng(seed)
    corners, sides = generator.uniform(0, 8, (n, 2)), generator.uniform(2, 9, (n, 2))
    boxes = np.concatenate([corners, corners + sides], axis=-1)
    return np.round(boxes) if integer else boxes


def match_of_loop(iou, positive_iou, negative_iou, low_quality_iou=None):
    """Return mmdetection's indices, target after target, of IoU in float64."""
    inds = np.full(len(iou), -1)
    for box, row in enumerate(iou):
        if row.max() < negative_iou:
            inds[box] = 0
        if row.max() >= positive_iou:
            inds[box] = row.argmax() + 1
    if low_quality_iou is not None:
        for target in range(iou.shape[1]):
            best = iou[:, target].max()
            if best >= low_quality_iou:
                inds[iou[:, target] == best] = target + 1
    return inds


def iou_of(boxes, targets):
    corner = np.maximum(boxes[:, None, :2], targets[None, :, :2])
    opposite = np.minimum(boxes[:, None, 2:], targets[None, :, 2:])
    intersection = np.prod(np.maximum(opposite - corner, 0), axis=-1)
    areas = [np.prod(x[:, 2:] - x[:, :2], axis=-1) for x in (boxes, targets)]
    return intersection / (areas[0][:, None] + areas[1][None] - intersection)


@pytest.mark.parametrize("kind", RULES)
def test_matches_equal_those_of_mmdetection(kind):
    golden = load("max_iou_assigner")
    matches = jitted(kind)(boxes_of(golden["priors"]), boxes_of(golden["gt"]))
    np.testing.assert_array_equal(inds_of(matches), golden[f"{kind}/gt_inds"])
    expected = golden[f"{kind}/max_overlaps"]
    chex.assert_trees_all_close(matches.overlaps, expected, rtol=0, atol=5e-7)


@pytest.mark.parametrize(("name", "dtype"), goldens.CASES_AND_DTYPES)
def test_matches_of_anchors_equal_those_of_the_detectors(name, dtype):
    arrays = goldens.load(name)
    with jax.enable_x64(dtype == "float64"):
        for image in goldens.images_of(name):
            valid = arrays[f"train/rpn/{image}/valid_anchors"] > 0
            matches = matched_anchors(name, image, dtype=dtype)
            expected = arrays[f"train/rpn/{image}/assigned_gt_inds"]
            np.testing.assert_array_equal(inds_of(matches)[valid], expected[valid])
            assert not np.any((matches.positive | matches.negative)[~valid])
            np.testing.assert_array_equal(matches.overlaps[~valid], -1)
            goldens.check_close(
                matches.overlaps[valid],
                arrays[f"ref64_train/rpn/{image}/max_overlaps"][valid],
                name=name,
                stage="train/rpn/max_overlaps",
            )


@pytest.mark.parametrize(("name", "dtype"), goldens.CASES_AND_DTYPES)
def test_matches_of_proposals_equal_those_of_the_detectors(name, dtype):
    arrays = goldens.load(name)
    kind = "mask_rcnn" if name.startswith("mask") else "rcnn"
    with jax.enable_x64(dtype == "float64"):
        for image in goldens.images_of(name):
            proposals = arrays[f"ref64_train/proposals/{image}/bboxes"]
            matches = jax.device_get(
                jitted(kind)(
                    boxes_of(proposals, dtype=dtype),
                    goldens.targets_of(name, image, dtype=dtype),
                )
            )
            expected = arrays[f"train/rcnn/{image}/assigned_gt_inds"]
            np.testing.assert_array_equal(inds_of(matches), expected)
            goldens.check_close(
                matches.overlaps,
                arrays[f"ref64_train/rcnn/{image}/max_overlaps"],
                name=name,
                stage="train/rcnn/max_overlaps",
            )


@pytest.mark.parametrize("kind", RULES)
@drawn
@given(seed=SEEDS)
def test_matches_of_integer_boxes_equal_a_loop(kind, seed):
    # Ties are frequent, and exact: quotients of the same small integers.
    boxes = drawn_boxes(seed, 24, integer=True)
    targets = drawn_boxes(seed + 1, 6, integer=True)
    matches = jitted(kind)(boxes_of(boxes), boxes_of(targets))
    iou = iou_of(boxes, targets)
    np.testing.assert_array_equal(inds_of(matches), match_of_loop(iou, **RULES[kind]))
    chex.assert_trees_all_close(
        np.float64(matches.overlaps), iou.max(1), rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("kind", RULES)
@drawn
@given(seed=SEEDS)
def test_padding_changes_no_bit(kind, seed):
    boxes = drawn_boxes(seed, 24, integer=False)
    targets = drawn_boxes(seed + 1, 6, integer=False)
    matches = jitted(kind)(boxes_of(boxes), boxes_of(targets))
    more = jitted(kind)(
        goldens.padded(boxes, 29, dtype=np.float32),
        goldens.padded(targets, 9, dtype=np.float32),
    )
    more = jax.device_get(more)
    chex.assert_trees_all_equal(jax.tree.map(lambda x: x[:24], more), matches)
    padding = jax.tree.map(lambda x: x[24:], more)
    assert not np.any(padding.positive | padding.negative | (padding.targets > 0))
    np.testing.assert_array_equal(padding.overlaps, -1)


@drawn
@given(seed=SEEDS)
def test_permuting_targets_permutes_their_indices(seed):
    boxes = boxes_of(drawn_boxes(seed, 24, integer=False))
    targets = drawn_boxes(seed + 1, 6, integer=False)
    order = np.random.default_rng(seed).permutation(6)
    matches = jitted("rcnn")(boxes, boxes_of(targets))
    permuted = jitted("rcnn")(boxes, boxes_of(targets[order]))
    targets_of_permuted = np.where(permuted.positive, order[permuted.targets], 0)
    expected = matches._replace(targets=targets_of_permuted)
    chex.assert_trees_all_equal(
        permuted._replace(targets=targets_of_permuted), expected
    )
    np.testing.assert_array_equal(targets_of_permuted, matches.targets)


@drawn
@given(seed=SEEDS)
def test_permuting_targets_keeps_who_is_positive(seed):
    # A box that is the best of two targets goes to the later one.
    boxes = boxes_of(drawn_boxes(seed, 24, integer=True))
    targets = drawn_boxes(seed + 1, 6, integer=True)
    matches = jitted("rpn")(boxes, boxes_of(targets))
    reversed_ = jitted("rpn")(boxes, boxes_of(targets[::-1]))
    chex.assert_trees_all_equal(reversed_[1:], matches[1:])


def test_later_targets_take_low_quality_matches_of_earlier_ones():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 4]])
    targets = np.array([[0, 0, 10, 10], [0, 0, 10, 9]])
    matches = jitted("rpn")(boxes_of(boxes), boxes_of(targets))
    np.testing.assert_array_equal(matches.targets, [1, 0])
    np.testing.assert_array_equal(matches.positive, [True, False])
    chex.assert_trees_all_close(matches.overlaps, np.array([1, 4 / 9], np.float32))


@pytest.mark.parametrize("slots", [0, 3])
def test_without_targets_all_valid_boxes_are_negative(slots):
    boxes = goldens.padded(drawn_boxes(0, 5, integer=False), 7, dtype=np.float32)
    targets = goldens.padded(np.zeros((0, 4)), slots, dtype=np.float32)
    matches = jitted("rpn")(boxes, targets)
    np.testing.assert_array_equal(inds_of(matches), [0] * 5 + [-1] * 2)
    np.testing.assert_array_equal(matches.overlaps, [0] * 5 + [-1] * 2)


def test_without_boxes_there_are_no_matches():
    targets = boxes_of(drawn_boxes(0, 2, integer=False))
    assert jitted("rpn")(boxes_of(np.zeros((0, 4))), targets).targets.shape == (0,)


def test_vmap_matches_each_image_as_alone():
    images = [
        (
            goldens.padded(drawn_boxes(i, 20 + i, integer=True), 22, dtype=np.float32),
            goldens.padded(
                drawn_boxes(i + 9, 3 * i, integer=True), 6, dtype=np.float32
            ),
        )
        for i in range(3)
    ]
    alone = [jitted("rpn")(*image) for image in images]
    batch = jax.tree.map(lambda *x: jnp.stack(x), *images)
    together = jax.jit(jax.vmap(jitted("rpn")))(*batch)
    chex.assert_trees_all_equal(together, jax.tree.map(lambda *x: np.stack(x), *alone))


def test_no_gradient_flows_into_overlaps():
    targets = boxes_of(drawn_boxes(3, 4, integer=False))

    def total(coordinates):
        boxes = Boxes(coordinates, jnp.ones(5, bool))
        return match_boxes(boxes, targets, **RPN).overlaps.sum()

    gradient = jax.jit(jax.grad(total))(jnp.asarray(drawn_boxes(0, 5, integer=False)))
    np.testing.assert_array_equal(gradient, 0)


def test_targets_go_before_boxes_matched_to_themselves():
    boxes = boxes_of(drawn_boxes(0, 5, integer=True))
    targets = goldens.padded(drawn_boxes(1, 2, integer=True), 3, dtype=np.float32)
    matches = jitted("rcnn")(boxes, targets)
    more = jax.device_get(jax.jit(prepend_targets)(matches, targets))
    chex.assert_trees_all_equal(jax.tree.map(lambda x: x[3:], more), matches)
    np.testing.assert_array_equal(inds_of(more)[:3], [1, 2, -1])
    np.testing.assert_array_equal(more.overlaps[:3], [1, 1, -1])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"positive_iou": 0.3, "negative_iou": 0.7},
            "`negative_iou` must lie between .*0.7",
        ),
        (
            {"positive_iou": 0.0, "negative_iou": 0.0},
            r"`positive_iou` .*\(0, 1\], got 0",
        ),
        ({**RCNN, "low_quality_iou": -0.1}, r"`low_quality_iou` must lie in \[0, 1\]"),
    ],
)
def test_wrong_thresholds_are_refused(rule, message):
    boxes = boxes_of(drawn_boxes(0, 5, integer=True))
    with pytest.raises(RefusedError, match=message):
        match_boxes(boxes, boxes, **rule)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda boxes: boxes.coordinates, "`targets` must be `Boxes`, got"),
        (
            lambda boxes: dataclasses.replace(boxes, coordinates=np.zeros((5, 4), int)),
            "`targets` must be floating",
        ),
        (
            lambda boxes: dataclasses.replace(boxes, valid=np.arange(5)),
            "`targets.valid` must be Boolean",
        ),
    ],
)
def test_targets_that_are_no_boxes_are_refused(change, message):
    boxes = boxes_of(drawn_boxes(0, 5, integer=True))
    with pytest.raises(RefusedError, match=message):
        match_boxes(boxes, change(boxes), **RPN)


def test_more_images_than_one_are_refused():
    one = boxes_of(drawn_boxes(0, 5, integer=True))
    two = jax.tree.map(lambda x: jnp.stack([x, x]), one)
    with pytest.raises(RefusedError, match=r"`targets` must be .*\(2, 5, 4\)"):
        match_boxes(one, two, **RPN)
