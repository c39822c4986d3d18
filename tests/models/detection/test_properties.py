"""Properties of whole detectors: batches, padding, and images without detections."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.models.detection import BoxPredictions, DetectionSettings, detect
from carafe_jax.ops import Boxes
from tests import tiny_detectors
from tests.tiny_detectors import CLASSES, batch


@pytest.fixture(scope="module")
def detector():
    """Return a detector, its variables, and the compiled function."""
    network = tiny_detectors.mask_rcnn()
    return network, tiny_detectors.variables_of(network), jax.jit(network.apply)


def set_bias_of_background(variables, value):
    def edit(path, leaf):
        names = [part.key for part in path]
        if names[1:] != ["box_head", "logits", "bias"]:
            return leaf
        return leaf.at[-1].set(value)

    return jax.tree_util.tree_map_with_path(edit, variables)


def assert_empty(found):
    detections = found.detections
    assert not detections.boxes.valid.any()
    assert not detections.boxes.coordinates.any()
    assert not detections.scores.any()
    assert not detections.classes.any()
    assert detections.complete.all()
    assert np.isfinite(found.masks).all()


@pytest.mark.slow
def test_detections_of_a_batch_are_those_of_its_images(detector):
    _, variables, apply = detector
    images, sizes = batch().images, batch().image_sizes
    both = apply(variables, images, sizes)
    assert both.detections.boxes.valid.any(1).all()
    for i in range(2):
        alone = apply(variables, images[i : i + 1], sizes[i : i + 1])
        part = jax.tree.map(lambda x, i=i: x[i : i + 1], both)
        chex.assert_trees_all_equal(part.detections.classes, alone.detections.classes)
        # Matrices of another size are multiplied in another order.
        chex.assert_trees_all_close(part, alone, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_nothing_found_is_empty_arrays_that_are_not_valid(detector):
    _, variables, apply = detector
    background = set_bias_of_background(variables, 100.0)
    assert_empty(apply(background, batch().images, batch().image_sizes))


@pytest.mark.slow
def test_image_of_no_size_has_no_detections(detector):
    _, variables, apply = detector
    sizes = batch().image_sizes.at[0].set(0)
    found = apply(variables, batch().images, sizes)
    assert_empty(jax.tree.map(lambda x: x[:1], found))
    assert found.detections.boxes.valid[1].any()


@pytest.mark.slow
def test_detections_are_in_their_image_by_descending_score(detector):
    _, variables, apply = detector
    detections = apply(variables, batch().images, batch().image_sizes).detections
    for i, (height, width) in enumerate(np.asarray(batch().image_sizes)):
        valid = np.asarray(detections.boxes.valid[i])
        boxes, scores = detections.boxes.coordinates[i][valid], detections.scores[i]
        assert (np.diff(scores) <= 0).all()
        assert (boxes >= 0).all()
        assert (boxes <= np.array([width, height, width, height])).all()


@pytest.mark.slow
def test_more_slots_change_no_bit_of_the_predictions(detector):
    network, variables, _ = detector
    pyramid = [
        jnp.asarray(np.random.default_rng(i).normal(size=(2, h, w, 8)), jnp.float32)
        for i, (h, w) in enumerate([(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)])
    ]

    @jax.jit
    def classified(boxes):
        return network.apply(variables, pyramid, boxes, method="classify")

    boxes = batch().truth.boxes
    few = Boxes(boxes.coordinates[:, :3], boxes.valid[:, :3])
    expected = classified(few)
    first = jax.tree.map(lambda x: x[:, :3], classified(boxes))
    chex.assert_trees_all_equal(first, expected)


def predictions(*, slots):
    rng = np.random.default_rng(6)
    corners = rng.uniform(0, 50, size=(1, 20, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (1, 20, 2))], -1)
    logits = 2 * rng.normal(size=(1, 20, CLASSES + 1))
    deltas = rng.normal(size=(1, 20, CLASSES, 4))

    def padded(x):
        padding = [(0, 0), (0, slots - 20), *[(0, 0)] * (x.ndim - 2)]
        return jnp.asarray(np.pad(x, padding, constant_values=0), jnp.float32)

    valid = jnp.asarray(np.arange(slots)[None] < 20)
    return BoxPredictions(padded(logits), padded(deltas)), Boxes(padded(boxes), valid)


SETTINGS = DetectionSettings(count=10)


def found_in(outputs, boxes, settings=SETTINGS, **fields):
    sizes = jnp.array([[70.0, 80.0]])
    return detect(outputs, boxes, image_sizes=sizes, settings=settings, **fields)


def test_slots_without_proposals_change_no_bit_of_the_detections():
    expected = found_in(*predictions(slots=20))
    chex.assert_trees_all_equal(found_in(*predictions(slots=31)), expected)
    assert expected.boxes.valid.any()


def test_scale_factors_of_one_change_nothing():
    arguments = predictions(slots=20)
    factors = jnp.ones((1, 2))
    chex.assert_trees_all_equal(
        found_in(*arguments, scale_factors=factors), found_in(*arguments)
    )


def test_boxes_are_divided_by_the_factors_of_width_and_height():
    arguments = predictions(slots=20)
    settings = DetectionSettings(iou_threshold=0.999, count=10)
    expected = found_in(*arguments, settings)
    factors = jnp.array([[2.0, 4.0]])
    actual = found_in(*arguments, settings, scale_factors=factors)
    coordinates = expected.boxes.coordinates / jnp.array([2.0, 4.0, 2.0, 4.0])
    chex.assert_trees_all_equal(actual.boxes.coordinates, coordinates)
    chex.assert_trees_all_equal(actual.scores, expected.scores)


def test_too_few_candidates_are_reported():
    arguments = predictions(slots=20)
    few = DetectionSettings(iou_threshold=0.1, count=10, candidates=10)
    assert not found_in(*arguments, few).complete.all()
    enough = DetectionSettings(iou_threshold=0.1, count=10, candidates=60)
    assert found_in(*arguments, enough).complete.all()
