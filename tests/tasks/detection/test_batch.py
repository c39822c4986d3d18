"""Batches and detectors that do not fit each other, and settings of training."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models.detection import MaskHead
from carafe_jax.ops import Boxes
from carafe_jax.tasks.detection import (
    DetectionLosses,
    DetectionTraining,
    MatchingSettings,
    SamplingSettings,
    detection_losses,
)
from carafe_jax.tasks.detection.batch import checked_batch
from tests import tiny_detectors
from tests.tiny_detectors import CLASSES, TRAINING, batch

BATCH = batch()
BOXES, CLASS_INDICES = BATCH.truth.boxes, BATCH.truth.classes
MASKS: Any = BATCH.truth.masks


def with_truth(**fields):
    truth = dataclasses.replace(BATCH.truth, **fields)
    return dataclasses.replace(BATCH, truth=truth)


def losses_of(
    detector, batch, settings=TRAINING, norms: Any = "frozen"
) -> DetectionLosses:
    """Trace the losses."""
    variables = tiny_detectors.variables_of(tiny_detectors.mask_rcnn())

    def trace(batch):
        key = jax.random.key(0)
        return detection_losses(
            detector, variables, batch, key, settings=settings, norms=norms
        )

    return jax.eval_shape(trace, batch)


def test_batch_of_numpy_becomes_one_of_jax():
    arrays = jax.device_get(BATCH)
    checked = checked_batch(arrays, classes=CLASSES, masks=True)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(checked))
    chex.assert_trees_all_equal(checked, BATCH)


def test_batch_without_masks_fits_a_detector_without():
    checked = checked_batch(with_truth(masks=None), classes=CLASSES, masks=False)
    assert checked.truth.masks is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            dataclasses.replace(BATCH, images=BATCH.images[0]),
            r"`images` must be floating of shape \(n, h, w, 3\), got float32 of shape "
            r"\(64, 96, 3\)",
        ),
        (
            dataclasses.replace(BATCH, images=jnp.zeros((2, 64, 96, 3), jnp.uint8)),
            "`images` must be floating .* got uint8",
        ),
        (
            dataclasses.replace(BATCH, images=BATCH.images[..., :1]),
            r"`images` must be floating of shape \(n, h, w, 3\), got .* 96, 1\)",
        ),
        ({"image": BATCH.images}, "`batch` must be a DetectionBatch, got 'dict'"),
        (
            with_truth(
                boxes=Boxes(
                    jnp.asarray(BOXES.coordinates).at[0, 1, 2].set(jnp.nan), BOXES.valid
                )
            ),
            r"`truth.boxes.coordinates` must be finite where .* got \[.*nan",
        ),
        (
            dataclasses.replace(BATCH, image_sizes=BATCH.image_sizes[:1]),
            r"`image_sizes` must be integer of shape \(2, 2\), .*got int32 of shape "
            r"\(1, 2\)",
        ),
        (
            dataclasses.replace(BATCH, padded_sizes=jnp.ones((2, 2))),
            "`padded_sizes` must be integer .*got float32",
        ),
        (
            dataclasses.replace(BATCH, weights=jnp.ones((2, 1))),
            r"`weights` must be floating of shape \(2,\), .*got .* shape \(2, 1\)",
        ),
        (
            with_truth(boxes=Boxes(BOXES.coordinates[:, :2], BOXES.valid)),
            r"`truth.boxes.coordinates` must be floating of shape \(2, 6, 4\)",
        ),
        (
            with_truth(boxes=Boxes(BOXES.coordinates, BOXES.valid.astype(int))),
            r"`truth.boxes.valid` must be bool of shape \(2, 6\)",
        ),
        (
            with_truth(classes=CLASS_INDICES[:, :5]),
            r"`truth.classes` must be integer of shape \(2, 6\), .*\(2, 5\)",
        ),
        (
            with_truth(classes=CLASS_INDICES.astype(jnp.float32)),
            "`truth.classes` must be integer .*got float32",
        ),
        (with_truth(masks=None), "`truth.masks` must be given to train masks, got No"),
        (
            with_truth(masks=MASKS[:, :, :32]),
            r"`truth.masks` must be uint8 of shape \(2, 6, 64, 96\), .*\(2, 6, 32, 96",
        ),
        (
            with_truth(masks=MASKS > 0),
            "`truth.masks` must be uint8 .*got bool",
        ),
        (
            with_truth(classes=CLASS_INDICES.at[0, 1].set(7)),
            r"`truth.classes` must be in \[0, 3\), the classes of `box_head`, got \[7",
        ),
        (
            with_truth(classes=CLASS_INDICES.at[0, 0].set(-1)),
            r"`truth.classes` must be in \[0, 3\), .*got \[-1\]",
        ),
    ],
)
def test_batch_that_does_not_fit_is_refused(wrong, words):
    with pytest.raises(RefusedError, match=words):
        checked_batch(wrong, classes=CLASSES, masks=True)


def test_unknown_norms_are_refused():
    with pytest.raises(
        RefusedError, match="`norms` must be one of 'frozen', 'batch', "
    ):
        losses_of(tiny_detectors.mask_rcnn(), BATCH, norms="stored")


def test_classes_of_padding_are_not_read():
    padding = with_truth(classes=CLASS_INDICES.at[0, 5].set(7))
    checked_batch(padding, classes=CLASSES, masks=True)


def test_truth_without_slots_is_refused():
    none = jax.tree.map(lambda x: x[:, :0], BATCH.truth)
    wrong = dataclasses.replace(BATCH, truth=none)
    with pytest.raises(RefusedError, match="`truth` must have at least one slot"):
        checked_batch(wrong, classes=CLASSES, masks=True)


def test_classes_are_not_read_inside_a_program():
    wrong = with_truth(classes=CLASS_INDICES + 9)
    jax.eval_shape(lambda x: checked_batch(x, classes=CLASSES, masks=True), wrong)


@pytest.mark.slow
def test_heads_of_other_classes_are_refused():
    detector = tiny_detectors.mask_rcnn(mask_head=MaskHead(5, features=4, convs=1))
    words = "`mask_head` must have the 3 classes of `box_head`, got 5"
    with pytest.raises(RefusedError, match=words):
        tiny_detectors.variables_of(detector)


@pytest.mark.slow
def test_detector_without_masks_needs_none_and_has_no_loss_of_them():
    losses = losses_of(tiny_detectors.faster_rcnn(), with_truth(masks=None))
    assert {leaf.shape for leaf in jax.tree.leaves(losses)} == {()}
    with pytest.raises(RefusedError, match=r"`truth\.masks` must be given"):
        losses_of(tiny_detectors.mask_rcnn(), with_truth(masks=None))


@pytest.mark.slow
def test_no_positives_may_be_sampled():
    none = SamplingSettings(count=8, positive_fraction=0.0)
    settings = dataclasses.replace(TRAINING, proposal_sampling=none)
    losses = losses_of(tiny_detectors.mask_rcnn(), BATCH, settings)
    assert losses.masks.shape == ()


def test_defaults_are_those_of_mmdetection():
    settings = DetectionTraining()
    assert settings.anchor_sampling.positives == 128
    assert settings.proposal_sampling.positives == 128
    assert settings.proposals.candidates == 2000
    assert settings.anchor_matching.low_quality_iou == 0.3


@pytest.mark.parametrize(("masks", "proposals"), [(True, 0.5), (False, None)])
def test_low_quality_matches_are_those_of_mmdetection_for_the_detector(
    masks, proposals
):
    settings = DetectionTraining().for_detector(masks=masks)
    assert settings.anchor_matching.low_quality_iou == 0.3
    assert settings.proposal_matching.low_quality_iou == proposals
    assert TRAINING.for_detector(masks=masks) == TRAINING


def test_total_is_the_sum_of_the_losses():
    scalars = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 0.5])
    losses = DetectionLosses(*scalars, collections={})
    assert losses.total == 31


@pytest.mark.parametrize(
    ("make", "fields", "words"),
    [
        (
            MatchingSettings,
            {"positive_iou": 0.0, "negative_iou": 0.0},
            r"`positive_iou` must lie in \(0, 1\], got 0.0",
        ),
        (
            MatchingSettings,
            {"positive_iou": 0.5, "negative_iou": 0.6},
            "`negative_iou` must lie between 0 and `positive_iou` = 0.5, got 0.6",
        ),
        (
            MatchingSettings,
            {"positive_iou": 0.5, "negative_iou": 0.4, "low_quality_iou": 1.5},
            r"`low_quality_iou` must lie in \[0, 1\], got 1.5",
        ),
        (
            MatchingSettings,
            {"positive_iou": 0.5, "negative_iou": 0.4, "low_quality_iou": "coco"},
            "`low_quality_iou` must be a number, 'mmdetection' or None, got 'coco'",
        ),
        (
            SamplingSettings,
            {"count": 0, "positive_fraction": 0.5},
            "`count` must be a positive int, got 0",
        ),
        (
            SamplingSettings,
            {"count": 9.5, "positive_fraction": 0.5},
            "`count` must be a positive int, got 9.5",
        ),
        (
            SamplingSettings,
            {"count": 8, "positive_fraction": 1.5},
            r"`positive_fraction` must lie in \[0, 1\], got 1.5",
        ),
    ],
)
def test_settings_that_break_a_rule_are_refused(make, fields, words):
    with pytest.raises(RefusedError, match=words):
        make(**fields)


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (MatchingSettings, {"positive_iou": 1.0, "negative_iou": 0.0}),
        (SamplingSettings, {"count": 1, "positive_fraction": 1.0}),
    ],
)
def test_settings_may_be_at_their_limits(make, fields):
    make(**fields)
