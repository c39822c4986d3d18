"""Losses of detectors, against numbers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.losses import (
    box_loss,
    classification_loss,
    mask_loss,
    objectness_loss,
)

# mmdetection adds it to what a loss is divided by.
EPSILON = float(np.finfo(np.float32).eps)
LOG2, LOG3 = np.log(2), np.log(3)
# Of a logit of log 3, the probability is 3/4.
LOGITS = jnp.array([[0.0, LOG3], [LOG3, -LOG3]])
POSITIVE = jnp.array([[True, True], [False, False]])
WEIGHTS = jnp.array([[1.0, 1.0], [1.0, 0.0]])
COUNT = jnp.asarray(8.0)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_objectness_is_the_cross_entropy_of_the_sampled_anchors():
    actual = objectness_loss(LOGITS, POSITIVE, weights=WEIGHTS, count=COUNT)
    close(actual, (np.log(2) + np.log(4 / 3) + np.log(4)) / 8)


def test_boxes_have_the_sum_of_the_distances_of_their_four_deltas():
    deltas = jnp.array([[1.0, -2.0, 0.5, 0.0], [9.0, 9.0, 9.0, 9.0]])
    targets = jnp.array([[0.0, 1.0, 0.0, 0.25], [0.0, 0.0, 0.0, 0.0]])
    weights = jnp.array([1.0, 0.0])
    actual = box_loss(deltas, targets, weights=weights, count=jnp.asarray(2.0))
    close(actual, (1 + 3 + 0.5 + 0.25) / 2)


def test_classification_is_the_cross_entropy_of_the_sampled_boxes():
    logits = jnp.array([[LOG2, 0.0, 0.0], [0.0, 0.0, 0.0], [5.0, -5.0, 0.0]])
    classes, weights = jnp.array([0, 2, 1]), jnp.array([1.0, 1.0, 0.0])
    count = jnp.asarray(2.0)
    actual = classification_loss(logits, classes, weights=weights, count=count)
    close(actual, (np.log(2) + np.log(3)) / 2)


def test_masks_have_the_mean_of_the_pixels_of_positive_boxes():
    logits = jnp.stack([jnp.zeros((2, 2)), LOGITS, jnp.full((2, 2), 7.0)])
    targets = jnp.stack([POSITIVE, POSITIVE, POSITIVE])
    weights = jnp.array([1.0, 1.0, 0.0])
    second = (np.log(2) + np.log(4 / 3) + np.log(4) + np.log(4 / 3)) / 4
    close(mask_loss(logits, targets, weights=weights), (np.log(2) + second) / 2)


def test_masks_without_positives_have_no_loss_and_no_gradient():
    targets = jnp.zeros((2, 1, 2), bool)
    value, gradient = jax.value_and_grad(mask_loss)(
        LOGITS[:, None], targets, weights=jnp.zeros(2)
    )
    assert value == 0
    assert not np.any(gradient)


def test_count_of_nothing_gives_no_loss():
    zeros, count = jnp.zeros((2, 2)), jnp.zeros(())
    assert objectness_loss(LOGITS, POSITIVE, weights=zeros, count=count) == 0


def test_epsilon_of_float32_is_added_to_the_count():
    actual = objectness_loss(
        jnp.zeros(1), jnp.ones(1), weights=jnp.ones(1), count=jnp.asarray(EPSILON)
    )
    close(actual, np.log(2) / (2 * EPSILON))


def test_losses_of_narrow_logits_are_float32():
    logits = LOGITS.astype(jnp.bfloat16)
    actual = objectness_loss(logits, POSITIVE, weights=WEIGHTS, count=COUNT)
    assert actual.dtype == jnp.float32


def test_class_of_a_box_of_weight_zero_is_not_read():
    weights = np.array([1.0, 0.0], np.float32)
    losses = [
        classification_loss(LOGITS, np.array([0, each]), weights=weights, count=1)
        for each in (0, 255, -1)
    ]
    assert np.isfinite(losses[0])
    assert losses[1:] == losses[:1] * 2


def test_masks_are_averaged_by_weights_of_any_sum():
    whole, half = (
        mask_loss(LOGITS[None], POSITIVE[None], weights=np.array([weight], np.float32))
        for weight in (1, 0.5)
    )
    assert whole == half > 0


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (
            lambda: objectness_loss(LOGITS, POSITIVE[0], weights=WEIGHTS, count=COUNT),
            r"`positive` must have shape \(2, 2\), got \(2,\)",
        ),
        (
            lambda: objectness_loss(LOGITS, POSITIVE, weights=WEIGHTS[0], count=COUNT),
            r"`weights` must have shape \(2, 2\), got \(2,\)",
        ),
        (
            lambda: box_loss(
                jnp.zeros((2, 4)), jnp.zeros((3, 4)), weights=COUNT, count=COUNT
            ),
            r"`targets` must have shape \(2, 4\), got \(3, 4\)",
        ),
        (
            lambda: classification_loss(
                LOGITS, jnp.zeros((2, 2), int), weights=COUNT, count=COUNT
            ),
            r"`classes` must have shape \(2,\), got \(2, 2\)",
        ),
        (
            lambda: mask_loss(LOGITS[None], POSITIVE, weights=COUNT),
            r"`targets` must have shape \(1, 2, 2\), got \(2, 2\)",
        ),
    ],
)
def test_shapes_that_do_not_match_are_refused(loss, words):
    with pytest.raises(RefusedError, match=words):
        loss()
