"""Areas, overlaps and clipping of boxes."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import Boxes, box_areas, clip_boxes, pairwise_iou
from tests.nn.torch_goldens import load

GOLDEN = load("bbox_coder")


def drawn_boxes(*shape, seed=0):
    corners = np.random.default_rng(seed).uniform(0, 50, (*shape, 2))
    sides = np.random.default_rng(seed + 1).uniform(1, 30, (*shape, 2))
    return np.concatenate([corners, corners + sides], axis=-1)


def iou_of_loop(boxes, others):
    """Return the IoU of each pair, in float64."""
    iou = np.zeros((len(boxes), len(others)))
    for i, (x1, y1, x2, y2) in enumerate(np.asarray(boxes, np.float64)):
        for j, (u1, v1, u2, v2) in enumerate(np.asarray(others, np.float64)):
            width = max(min(x2, u2) - max(x1, u1), 0)
            height = max(min(y2, v2) - max(y1, v1), 0)
            union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - width * height
            iou[i, j] = width * height / union if union > 0 else 0
    return iou


def test_areas_are_width_times_height():
    boxes = np.array([[[1, 2, 4, 4], [0, 0, 0, 0]]], np.float32)
    np.testing.assert_array_equal(box_areas(boxes), [[6, 0]])


def test_iou_agrees_with_mmdetection():
    iou = jax.jit(pairwise_iou)(GOLDEN["proposals"], GOLDEN["gt"])
    assert iou.dtype == jnp.float32
    # A few roundings of numbers below 1.
    chex.assert_trees_all_close(iou, GOLDEN["iou"], rtol=0, atol=5e-7)


@pytest.mark.parametrize("wide", [False, True])
def test_iou_agrees_with_a_loop(wide):
    boxes, others = drawn_boxes(17), drawn_boxes(5, seed=7)
    with jax.enable_x64(wide):
        iou = jax.jit(pairwise_iou)(boxes, others)
    assert iou.dtype == (np.float64 if wide else np.float32)
    # Areas of 1,000 in float32 are off by 1e-4.
    atol = 1e-14 if wide else 1e-6
    chex.assert_trees_all_close(
        np.float64(iou), iou_of_loop(boxes, others), rtol=0, atol=atol
    )


def test_iou_of_equal_touching_and_empty_boxes():
    boxes = np.array([[0, 0, 4, 4], [4, 0, 8, 4], [0, 0, 0, 0]], np.float32)
    iou = jax.jit(pairwise_iou)(boxes, boxes)
    np.testing.assert_array_equal(iou, np.diag([1, 1, 0]))


def test_iou_of_bfloat16_boxes_is_computed_in_float32():
    boxes = jnp.asarray(np.round(drawn_boxes(4)), jnp.bfloat16)
    iou = jax.jit(pairwise_iou)(boxes, boxes)
    assert iou.dtype == jnp.float32
    chex.assert_trees_all_close(
        np.float64(iou), iou_of_loop(boxes, boxes), rtol=0, atol=1e-6
    )


def test_leading_axes_are_images():
    boxes, others = drawn_boxes(2, 3), drawn_boxes(2, 4, seed=5)
    together = jax.jit(pairwise_iou)(boxes, others)
    alone = jax.jit(jax.vmap(pairwise_iou))(boxes, others)
    np.testing.assert_array_equal(together, alone)


def test_boxes_are_clipped_to_height_and_width():
    boxes = np.array([[-3, 4, 50, 90], [41, 61, 42, 62]], np.float32)
    expected = [[0, 4, 40, 60], [40, 60, 40, 60]]
    np.testing.assert_array_equal(clip_boxes(boxes, (60, 40)), expected)


def test_each_image_has_its_own_size():
    boxes = np.full((2, 3, 5, 4), 100, np.float32)
    clipped = jax.jit(clip_boxes)(boxes, np.array([[60, 40], [20, 30]]))
    np.testing.assert_array_equal(clipped[0, 1, 2], [40, 60, 40, 60])
    np.testing.assert_array_equal(clipped[1, 2, 4], [30, 20, 30, 20])


def test_gradients_with_padding_are_finite():
    boxes = np.concatenate([drawn_boxes(3), np.zeros((2, 4))]).astype(np.float32)

    def total(boxes, others):
        return pairwise_iou(boxes, clip_boxes(others, (40, 40))).sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(boxes, boxes[::-1])
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))


def test_boxes_are_a_tree_of_two_arrays():
    boxes = Boxes(jnp.ones((2, 3, 4)), jnp.ones((2, 3), bool))
    areas = jax.jit(jax.vmap(lambda boxes: box_areas(boxes.coordinates)))(boxes)
    assert areas.shape == (2, 3)
    assert [leaf.shape for leaf in jax.tree.leaves(boxes)] == [(2, 3, 4), (2, 3)]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (box_areas, (np.zeros((2, 5), np.float32),), r"`boxes` must have 4 .*\(2, 5\)"),
        (box_areas, (np.zeros((2, 4), np.int32),), "`boxes` must be floating.*int32"),
        (
            pairwise_iou,
            (np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32)),
            r"`others` must have 4 .*\(2, 3\)",
        ),
        (clip_boxes, (np.zeros((2, 4), np.float32), (1, 2, 3)), r"`sizes` .*\(3,\)"),
    ],
)
def test_wrong_arrays_are_refused(function, arguments, message):
    with pytest.raises(RefusedError, match=message):
        function(*arguments)
