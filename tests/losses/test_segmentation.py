"""The loss of semantic segmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.losses import pixel_loss

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3, 4, 5)).astype(np.float32)
LABELS = RNG.integers(0, 5, size=(2, 3, 4)).astype(np.uint8)
LABELS[0, :2] = 255


def by_loop(logits, labels, ignored, class_weights=(1,) * 5):
    total = weight = 0
    for index in np.ndindex(labels.shape):
        if labels[index] != ignored:
            x = logits[index].astype(np.float64)
            loss = np.log(np.exp(x - x.max()).sum()) + x.max() - x[labels[index]]
            total += class_weights[labels[index]] * loss
            weight += class_weights[labels[index]]
    return total, weight


@pytest.mark.parametrize("ignored", [255, 2])
def test_sum_and_number_are_those_of_the_loop(ignored):
    labels = np.where(LABELS == 255, ignored, LABELS)
    loss = pixel_loss(LOGITS, labels, ignored=ignored)
    total, pixels = by_loop(LOGITS, labels, ignored)
    # Float32 sums of twenty terms.
    np.testing.assert_allclose(loss.total, total, rtol=1e-6)
    assert loss.weight == pixels
    np.testing.assert_allclose(loss.mean, total / pixels, rtol=1e-6)


def test_pixels_weigh_as_much_as_their_class():
    weights = (0.25, 0, 1.5, 0.125, 3)
    loss = pixel_loss(LOGITS, LABELS, class_weights=weights)
    total, weight = by_loop(LOGITS, LABELS, 255, weights)
    # Float32 sums of twenty terms.
    np.testing.assert_allclose(loss.total, total, rtol=1e-6)
    np.testing.assert_allclose(loss.mean, total / weight, rtol=1e-6)


def test_pixels_without_a_weight_have_the_loss_zero():
    labels = np.zeros_like(LABELS)
    assert pixel_loss(LOGITS, labels, class_weights=(0, 1, 1, 1, 1)).mean == 0


def test_ignored_pixels_have_no_gradient():
    gradient = jax.grad(lambda x: pixel_loss(x, LABELS).mean)(LOGITS)
    assert not np.any(gradient[LABELS == 255])
    assert np.all(np.any(gradient[LABELS != 255], axis=-1))


def test_batch_without_counted_pixels_has_the_loss_zero():
    labels = jnp.full((2, 3, 4), 255, np.uint8)
    loss, gradient = jax.value_and_grad(lambda x: pixel_loss(x, labels).mean)(LOGITS)
    assert loss == 0
    assert not np.any(gradient)


def test_means_of_parts_combine_to_that_of_the_batch():
    whole = pixel_loss(LOGITS, LABELS)
    parts = [pixel_loss(x, y) for x, y in zip(LOGITS, LABELS, strict=True)]
    summed = jax.tree.map(lambda *x: sum(x), *parts)
    np.testing.assert_allclose(summed.mean, whole.mean, rtol=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(RefusedError, match=r"`labels` must have the shape \(2, 3, 4\)"):
        pixel_loss(LOGITS, LABELS[:1])
    with pytest.raises(RefusedError, match="`labels` must be ints, got float32"):
        pixel_loss(LOGITS, LABELS.astype(np.float32))
    with pytest.raises(RefusedError, match="`logits` must be floating, got int32"):
        pixel_loss(LOGITS.astype(np.int32), LABELS)
    rule = "`class_weights` must have one number for each of the 5 classes"
    with pytest.raises(RefusedError, match=rule):
        pixel_loss(LOGITS, LABELS, class_weights=(1, 2))
    for shape in ((2, 3, 4, 0), ()):
        with pytest.raises(RefusedError, match="`logits` must have at least one class"):
            pixel_loss(np.zeros(shape, np.float32), np.zeros(shape[:-1], np.int32))
