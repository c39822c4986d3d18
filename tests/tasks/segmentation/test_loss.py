"""Losses of segmentation networks on training batches."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.losses import pixel_loss
from carafe_jax.models.segmentation import SegmentationNetwork, SegmentationOutputs
from carafe_jax.nn import resize_bilinear
from carafe_jax.tasks.padded_images import normalised_images
from carafe_jax.tasks.segmentation.loss import LabelsAt, segmentation_losses

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, size=(2, 32, 48, 3)).astype(np.uint8)
LABELS = RNG.integers(0, 3, size=(2, 32, 48)).astype(np.uint8)
LABELS[:, 20:] = 255
BATCH: Any = {
    "image": IMAGES,
    "image_size": np.array([[32, 48], [20, 48]], np.int32),
    "label": LABELS,
}


class Strided(SegmentationNetwork):
    """The colours of every s-th pixel as logits, and their negation beside them."""

    stride: int = 4
    has_auxiliary: bool = True

    def outputs(self, images, train=False):
        logits = images[:, :: self.stride, :: self.stride]
        return SegmentationOutputs(logits, -logits if self.has_auxiliary else None)


def losses(network, batch=BATCH, *, labels_at: LabelsAt = "first", **options):
    compute = functools.partial(
        segmentation_losses,
        network,
        {},
        dtype="float32",
        labels_at=labels_at,
        **options,
    )
    return jax.jit(lambda batch, key: compute(batch, key)._replace(collections={}))(
        batch, jax.random.key(0)
    )


def network(**fields) -> Any:
    return Strided(backbone=None, classes=3, **fields)  # pyright: ignore


def close_to(value):
    # Float32 sums of the same numbers, in another order.
    return pytest.approx(float(value), rel=1e-6)


def logits_of(batch, stride):
    images = jnp.asarray(batch["image"])
    sizes = jnp.asarray(batch["image_size"])
    images = normalised_images(images, sizes, dtype="float32")
    return images[:, ::stride, ::stride]


def test_labels_of_the_logits_are_those_of_every_fourth_pixel():
    found = losses(network())
    logits, labels = logits_of(BATCH, 4), LABELS[:, ::4, ::4]
    assert found.classes == close_to(pixel_loss(logits, labels).mean)
    auxiliary = pixel_loss(-logits, labels).mean
    assert found.auxiliary == close_to(auxiliary)
    assert found.total == close_to(found.classes + 0.4 * auxiliary)
    counted = labels != 255
    right = (logits.argmax(-1) == labels)[counted].mean()
    assert found.accuracy == pytest.approx(float(right), rel=1e-6)


def test_classes_have_weights_in_both_losses_and_none_in_the_accuracy():
    weights = (0.5, 2.0, 0.0)
    found, plain = losses(network(), class_weights=weights), losses(network())
    logits, labels = logits_of(BATCH, 4), LABELS[:, ::4, ::4]
    loss = pixel_loss(logits, labels, class_weights=weights)
    assert found.classes == close_to(loss.mean)
    assert found.weight == close_to(loss.weight)
    auxiliary = pixel_loss(-logits, labels, class_weights=weights).mean
    assert found.auxiliary == close_to(auxiliary)
    assert found.accuracy == close_to(plain.accuracy)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_labels_may_be_those_of_the_pixels_in_the_middle(stride):
    found = losses(network(stride=stride), labels_at="centre")
    middle = stride // 2
    labels = LABELS[:, middle::stride, middle::stride]
    assert found.classes == close_to(pixel_loss(logits_of(BATCH, stride), labels).mean)


def test_labels_of_the_middle_stay_in_place_when_logits_are_resized():
    """Those of the first pixels are shifted by 1.5 pixels at a stride of 4."""
    shifts: dict[int, list[float]] = {0: [], 2: []}
    for edge in range(8, 24):
        labels = np.arange(32) >= edge
        for start, found in shifts.items():
            logits = np.eye(2, dtype=np.float32)[labels[start::4].astype(int)]
            resized = resize_bilinear(logits[None, :, None], size=(32, 1))
            predicted = np.asarray(resized)[0, :, 0].argmax(-1)
            found.append(int(predicted.argmax()) - edge)
    # An edge between two compared pixels is in the middle of them.
    assert np.mean(shifts[0]) == pytest.approx(1.5, abs=0.5)
    assert abs(np.mean(shifts[2])) <= 0.5


@pytest.mark.parametrize("align_corners", [True, False])
def test_logits_are_resized_to_the_labels(align_corners):
    found = losses(
        network(has_auxiliary=False), labels_at="image", align_corners=align_corners
    )
    logits = resize_bilinear(
        logits_of(BATCH, 4), size=(32, 48), align_corners=align_corners
    )
    assert found.classes == close_to(pixel_loss(logits, LABELS).mean)
    assert found.auxiliary is None
    assert found.total == found.classes


def test_images_whose_labels_are_ignored_change_no_loss():
    filled = dict(BATCH)
    filled["label"] = np.concatenate([LABELS, np.full_like(LABELS[:1], 255)])
    for name in ("image", "image_size"):
        filled[name] = np.concatenate([BATCH[name], BATCH[name][:1]])
    whole, part = losses(network(), filled), losses(network())
    for name in ("classes", "auxiliary", "accuracy"):
        expected = getattr(part, name)
        assert getattr(whole, name) == close_to(expected), name


@pytest.mark.parametrize("labels_at", ["first", "centre"])
@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("side", [1, 9, 25, 33, 49])
def test_labels_of_odd_maps_are_those_of_the_stride(side, stride, labels_at):
    sides = (2, side, side)
    batch: Any = {
        "image": RNG.integers(0, 256, (*sides, 3)).astype(np.uint8),
        "image_size": np.array([[side, side]] * 2, np.int32),
        "label": RNG.integers(0, 3, sides).astype(np.uint8),
    }
    found = losses(network(stride=stride), batch, labels_at=labels_at)
    start = 0 if labels_at == "first" else stride // 2
    # The middle of the last pixels may be outside.
    places = np.minimum(np.arange(0, side, stride) + start, side - 1)
    labels = batch["label"][:, places][:, :, places]
    assert found.classes == close_to(pixel_loss(logits_of(batch, stride), labels).mean)


def test_unknown_size_of_labels_is_refused():
    rule = "`labels_at` must be one of 'first', 'centre', 'image', got 'images'"
    with pytest.raises(RefusedError, match=rule):
        losses(network(), labels_at=cast(Any, "images"))
