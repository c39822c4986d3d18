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


def by_loop(logits, labels, ignored):
    total = pixels = 0
    for index in np.ndindex(labels.shape):
        if labels[index] != ignored:
            x = logits[index].astype(np.float64)
            total += np.log(np.exp(x - x.max()).sum()) + x.max() - x[labels[index]]
            pixels += 1
    return total, pixels


@pytest.mark.parametrize("ignored", [255, 2])
def test_sum_and_number_are_those_of_the_loop(ignored):
    labels = np.where(LABELS == 255, ignored, LABELS)
    loss = pixel_loss(LOGITS, labels, ignored=ignored)
    total, pixels = by_loop(LOGITS, labels, ignored)
    # Float32 sums of twenty terms.
    np.testing.assert_allclose(loss.total, total, rtol=1e-6)
    assert loss.counted == pixels
    np.testing.assert_allclose(loss.mean, total / pixels, rtol=1e-6)


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
    for shape in ((2, 3, 4, 0), ()):
        with pytest.raises(RefusedError, match="`logits` must have at least one class"):
            pixel_loss(np.zeros(shape, np.float32), np.zeros(shape[:-1], np.int32))
