"""Properties of the losses of whole detectors and of their targets.

One program, compiled for three shapes of a batch, serves all tests of losses.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.ops import Boxes, random_sampler, strided_sampler
from carafe_jax.tasks.detection import DetectionLosses, detection_losses
from carafe_jax.tasks.detection.targets import anchor_targets, region_targets
from tests import tiny_detectors
from tests.tiny_detectors import CLASSES, TRAINING, batch

PARTS = ("rpn_objectness", "rpn_boxes", "classes", "boxes", "masks")
ALL = dict.fromkeys(PARTS, 1.0)
FIRST_STAGE, SECOND_STAGE = PARTS[:2], PARTS[2:]
SAMPLERS = pytest.mark.parametrize(
    "sampler", [pytest.param(random_sampler, marks=pytest.mark.weekly), strided_sampler]
)


@pytest.fixture(scope="module")
def train():
    """Return a function of a batch that returns the losses and their gradients.

    The parts of the loss are weighted, so that each can have its own gradient.
    """
    detector = tiny_detectors.mask_rcnn()
    variables = dict(tiny_detectors.variables_of(detector))
    params = variables.pop("params")

    @jax.jit
    def differentiate(params, batch, coefficients):
        def total(params):
            losses = detection_losses(
                detector,
                {"params": params, **variables},
                batch,
                jax.random.key(0),
                settings=TRAINING,
                sampler=strided_sampler,
            )
            parts = [coefficients[name] * getattr(losses, name) for name in PARTS]
            return sum(parts), losses

        return jax.grad(total, has_aux=True)(params)

    def train(batch, coefficients=ALL) -> tuple[DetectionLosses, Any]:
        gradients, losses = jax.device_get(differentiate(params, batch, coefficients))
        return losses, gradients

    return train


def one_image(batch, index):
    return jax.tree.map(lambda x: x[index : index + 1], batch)


def without_objects(batch):
    boxes = batch.truth.boxes
    none = Boxes(jnp.zeros_like(boxes.coordinates), jnp.zeros_like(boxes.valid))
    truth = dataclasses.replace(batch.truth, boxes=none)
    return dataclasses.replace(batch, truth=truth)


def permuted(truth, order):
    return jax.tree.map(lambda x: x[:, np.array(order)], truth)


def assert_finite(*trees):
    chex.assert_tree_all_finite(trees)


def is_zero(tree):
    return not any(np.any(leaf) for leaf in jax.tree.leaves(tree))


@pytest.mark.weekly
def test_slots_without_objects_change_no_bit(train):
    chex.assert_trees_all_equal(train(batch(slots=3)), train(batch(slots=6)))


@pytest.mark.slow
def test_image_of_weight_zero_changes_nothing(train):
    filled = dataclasses.replace(batch(), weights=jnp.array([1.0, 0.0]))
    other = jax.tree.map(lambda x: x.at[1].set(x[0]), filled)
    other = dataclasses.replace(other, weights=filled.weights)
    chex.assert_trees_all_equal(train(filled), train(other))
    # Sums over more images are rounded in another way.
    losses, gradients = train(one_image(batch(), 0))
    chex.assert_trees_all_close(train(filled)[0], losses, rtol=1e-6)
    chex.assert_trees_all_close(train(filled)[1], gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_images_of_weight_zero_alone_have_no_loss_and_no_gradient(train):
    losses, gradients = train(dataclasses.replace(batch(), weights=jnp.zeros(2)))
    assert_finite(losses, gradients)
    assert is_zero((losses, gradients))


@pytest.mark.slow
def test_order_of_the_objects_changes_nothing(train):
    expected, given = train(batch()), batch()
    truth = permuted(given.truth, [2, 4, 0, 1, 5, 3])
    losses, gradients = train(dataclasses.replace(given, truth=truth))
    # The same samples in another order.
    chex.assert_trees_all_close(losses, expected[0], rtol=1e-5)
    chex.assert_trees_all_close(gradients, expected[1], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_batch_without_objects_has_finite_losses_and_gradients(train):
    losses, gradients = train(without_objects(batch()))
    assert_finite(losses, gradients)
    assert losses.rpn_boxes == losses.boxes == losses.masks == 0
    assert losses.rpn_objectness > 0
    assert losses.classes > 0
    assert is_zero(gradients["mask_head"])
    assert is_zero(gradients["rpn"]["deltas"])
    assert not is_zero(gradients["rpn"]["logits"])


@pytest.mark.slow
def test_batch_without_regions_has_finite_losses_and_gradients(train):
    empty = without_objects(batch())
    # All proposals are clipped to nothing.
    empty = dataclasses.replace(empty, image_sizes=jnp.zeros((2, 2), int))
    losses, gradients = train(empty)
    assert_finite(losses, gradients)
    assert losses.classes == 0
    assert losses.accuracy == 0


@pytest.mark.slow
def test_losses_of_the_second_stage_have_no_gradient_in_the_rpn(train):
    _, gradients = train(batch(), {**ALL, **dict.fromkeys(FIRST_STAGE, 0.0)})
    assert is_zero(gradients["rpn"])
    for part in ("backbone", "fpn", "box_head", "mask_head"):
        assert not is_zero(gradients[part])


@pytest.mark.slow
def test_losses_of_the_rpn_have_no_gradient_in_the_heads(train):
    _, gradients = train(batch(), {**ALL, **dict.fromkeys(SECOND_STAGE, 0.0)})
    assert is_zero((gradients["box_head"], gradients["mask_head"]))
    for part in ("backbone", "fpn", "rpn"):
        assert not is_zero(gradients[part])


@pytest.mark.slow
def test_total_is_the_sum_of_the_losses_without_the_accuracy(train):
    losses, _ = train(batch())
    expected = sum(getattr(losses, name) for name in PARTS)
    np.testing.assert_allclose(losses.total, expected, rtol=1e-6)
    assert all(getattr(losses, name) > 0 for name in PARTS)
    assert 0 <= losses.accuracy <= 1


def keys_of(images):
    # "threefry2x32" draws the same numbers whatever follows them.
    return jax.random.split(jax.random.key(1, impl="threefry2x32"), images)


def regions_of(truth, proposals, sampler):
    return region_targets(
        keys_of(len(truth.classes)),
        truth,
        proposals=proposals,
        classes=CLASSES,
        matching=TRAINING.proposal_matching,
        sampling=TRAINING.proposal_sampling,
        sampler=sampler,
    )


def anchors_of(truth, sampler):
    corners = np.random.default_rng(2).uniform(0, 60, size=(200, 2))
    sides = np.random.default_rng(3).uniform(5, 40, size=(200, 2))
    anchors = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    return anchors, anchor_targets(
        keys_of(len(truth.classes)),
        truth,
        anchors=jnp.asarray(anchors),
        valid=jnp.ones((len(truth.classes), 200), bool),
        matching=TRAINING.anchor_matching,
        sampling=TRAINING.anchor_sampling,
        sampler=sampler,
    )


def some_proposals(count, *, slots):
    corners = np.random.default_rng(4).uniform(0, 50, size=(2, count, 2))
    sides = np.random.default_rng(5).uniform(5, 40, size=(2, count, 2))
    coordinates = np.concatenate([corners, corners + sides], -1).astype(np.float32)
    padding = ((0, 0), (0, slots - count), (0, 0))
    valid = np.broadcast_to(np.arange(slots) < count, (2, slots))
    return Boxes(jnp.asarray(np.pad(coordinates, padding)), jnp.asarray(valid))


@SAMPLERS
@pytest.mark.parametrize("count", [40, 5])
def test_slots_without_proposals_change_no_target(sampler, count):
    truth = batch().truth
    expected = regions_of(truth, some_proposals(count, slots=count), sampler)
    actual = regions_of(truth, some_proposals(count, slots=60), sampler)
    chex.assert_trees_all_equal(actual, expected)
    assert expected.positive.any()


@SAMPLERS
def test_slots_without_objects_change_no_target(sampler):
    proposals = some_proposals(40, slots=40)
    few, many = batch(slots=3).truth, batch(slots=8).truth
    chex.assert_trees_all_equal(
        regions_of(few, proposals, sampler), regions_of(many, proposals, sampler)
    )
    chex.assert_trees_all_equal(anchors_of(few, sampler), anchors_of(many, sampler))


@SAMPLERS
def test_targets_of_a_batch_are_those_of_its_images(sampler):
    truth, proposals = batch().truth, some_proposals(40, slots=40)
    targets = regions_of(truth, proposals, sampler)
    first = jax.tree.map(lambda x: x[:1], (truth, proposals))
    alone = region_targets(
        keys_of(2)[:1],
        first[0],
        proposals=first[1],
        classes=CLASSES,
        matching=TRAINING.proposal_matching,
        sampling=TRAINING.proposal_sampling,
        sampler=sampler,
    )
    part = one_image(targets, 0)
    # A compiled logarithm may depend on its place in an array.
    chex.assert_trees_all_close(part.deltas, alone.deltas, rtol=1e-6)
    chex.assert_trees_all_equal(part._replace(deltas=alone.deltas), alone)


def test_targets_of_padding_are_background_and_zeros():
    targets = regions_of(batch().truth, some_proposals(5, slots=40), strided_sampler)
    padding = ~targets.boxes.valid
    assert padding.any()
    assert is_zero(targets.boxes.coordinates[padding])
    assert is_zero(targets.deltas[~targets.positive])
    assert is_zero(targets.objects[~targets.positive])
    assert set(np.unique(targets.classes[~targets.positive])) == {CLASSES}


def test_own_boxes_of_the_objects_are_the_first_regions():
    truth = batch().truth
    targets = regions_of(truth, some_proposals(40, slots=40), strided_sampler)
    for i, count in enumerate((3, 1)):
        own = truth.boxes.coordinates[i, :count]
        np.testing.assert_array_equal(targets.boxes.coordinates[i, :count], own)
        np.testing.assert_array_equal(targets.objects[i, :count], np.arange(count))
        np.testing.assert_array_equal(
            targets.classes[i, :count], truth.classes[i, :count]
        )
        assert is_zero(targets.deltas[i, :count])


def test_order_of_the_objects_permutes_the_targets():
    truth, order = batch(slots=3).truth, [2, 0, 1]
    anchors, expected = anchors_of(truth, strided_sampler)
    _, actual = anchors_of(permuted(truth, order), strided_sampler)
    chex.assert_trees_all_equal(actual.samples, expected.samples)
    chex.assert_trees_all_equal(actual.deltas, expected.deltas)
    assert expected.samples.positive.any()
    assert len(anchors) == 200
