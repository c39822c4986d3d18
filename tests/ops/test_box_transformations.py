"""Functions of boxes under strict promotion, NaN checks, `shard_map` and `vmap`."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from carafe_jax import ops

IMAGES, SLOTS = 2, 6
COORDINATES = np.zeros((IMAGES, SLOTS, 4), np.float32)
COORDINATES[0, :3] = [[0, 0, 4, 4], [1, 0, 5, 4], [9, 9, 20, 12]]
COORDINATES[1, :2] = [[3, 3, 8, 9], [2, 3, 8, 9]]
VALID = np.any(COORDINATES > 0, axis=-1)
MATCH = {"positive_iou": 0.7, "negative_iou": 0.3, "low_quality_iou": 0.3}


def match(coordinates, valid):
    boxes = ops.Boxes(coordinates, valid)
    targets = ops.Boxes(coordinates[::-1], valid[::-1])
    return ops.prepend_targets(ops.match_boxes(boxes, targets, **MATCH), targets)


def sample(coordinates, valid, *, sampler):
    matches = match(coordinates, valid)
    return ops.sample_boxes(
        jax.random.key(0), matches, count=4, positive_fraction=0.5, sampler=sampler
    )


# Each of the boxes of one image; the last two have integers as results.
FUNCTIONS = {
    "box_areas": lambda boxes, _: ops.box_areas(boxes),
    "pairwise_iou": lambda boxes, _: ops.pairwise_iou(boxes, boxes[:2]),
    "clip_boxes": lambda boxes, _: ops.clip_boxes(boxes, (10, 7)),
    "encode_boxes": lambda boxes, _: ops.encode_boxes(boxes, boxes[::-1]),
    "decode_boxes": lambda boxes, _: ops.decode_boxes(boxes * 0.1, boxes),
    "anchor_grid": lambda boxes, _: ops.pairwise_iou(
        ops.anchor_grid((2, 1), stride=4), boxes
    ),
    "anchor_validity": lambda _, valid: ops.anchor_validity(
        (2, 1), stride=4, padded_size=valid[:2].astype(np.int32)
    ),
    "match_boxes": match,
    "random_sampler": functools.partial(sample, sampler=ops.random_sampler),
    "strided_sampler": functools.partial(sample, sampler=ops.strided_sampler),
}
FLOATING = [*FUNCTIONS][:6]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_traces_under_strict_promotion(name, dtype):
    boxes = jnp.asarray(COORDINATES[0], dtype)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        results = jax.eval_shape(FUNCTIONS[name], boxes, VALID[0])
    floating = [
        leaf.dtype
        for leaf in jax.tree.leaves(results)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]
    assert set(floating) <= {np.dtype(np.float32)}


@pytest.mark.parametrize("name", FLOATING)
def test_padding_makes_no_nan(name):
    def total(boxes):
        return FUNCTIONS[name](boxes, VALID[0]).sum()

    with jax.debug_nans(True):
        gradient = jax.jit(jax.grad(total))(jnp.asarray(COORDINATES[0]))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_images_of_a_shard_are_as_alone(name):
    function = jax.jit(FUNCTIONS[name])
    alone = [function(COORDINATES[i], VALID[i]) for i in range(IMAGES)]
    expected = jax.tree.map(lambda *x: np.stack(x), *alone)
    mesh = jax.make_mesh((1,), ("data",), (jax.sharding.AxisType.Auto,))
    # Types of the axes that arrays vary over are checked as the program is traced.
    sharded = jax.shard_map(
        jax.vmap(FUNCTIONS[name]), mesh=mesh, in_specs=P("data"), out_specs=P("data")
    )
    chex.assert_trees_all_equal(jax.jit(sharded)(COORDINATES, VALID), expected)
