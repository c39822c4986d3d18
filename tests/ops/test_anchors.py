"""Anchors of feature maps, and which of them lie in an image."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.ops import anchor_grid, anchor_validity
from tests import detection_goldens as goldens
from tests.nn.torch_goldens import load

GOLDEN = load("anchors_8")
SIZES = ((10, 13), (5, 7), (3, 4), (2, 2), (1, 1))
PADDED_SIZE = (36, 49)


def sizes_of(name):
    arrays = goldens.load(name)
    return tuple(arrays[f"ref64_test/rpn_cls/{level}"].shape[2:] for level in range(5))


@functools.cache
def of_all_levels(sizes, dtype):
    """Return a function of the padded size: all anchors, and their validity."""

    def anchors_and_validity(padded_size):
        levels = [
            (
                anchor_grid(size, stride=stride, dtype=dtype),
                anchor_validity(size, stride=stride, padded_size=padded_size),
            )
            for size, stride in zip(sizes, goldens.STRIDES, strict=True)
        ]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *levels)

    return jax.jit(anchors_and_validity)


@pytest.mark.parametrize("level", range(5))
def test_anchors_equal_those_of_mmdetection_to_the_bit(level):
    stride, size = goldens.STRIDES[level], SIZES[level]
    anchors = anchor_grid(size, stride=stride)
    np.testing.assert_array_equal(anchors, GOLDEN[f"grid/{level}"])
    one = anchor_grid((1, 1), stride=stride)
    np.testing.assert_array_equal(one, GOLDEN[f"base/{level}"])


def test_validity_equals_that_of_mmdetection():
    _, valid = of_all_levels(SIZES, np.float32)(np.array(PADDED_SIZE))
    expected = np.concatenate([GOLDEN[f"valid/{level}"] for level in range(5)])
    np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize("name", goldens.CASES)
def test_anchors_of_all_levels_agree_with_the_detectors(name):
    arrays = goldens.load(name)
    for image in goldens.images_of(name):
        with jax.enable_x64(True):
            anchors, valid = of_all_levels(sizes_of(name), np.float64)(
                arrays["meta/pad_shape"][image]
            )
        chex.assert_trees_all_close(
            np.asarray(anchors), arrays["ref64_test/anchors"], rtol=0, atol=1e-12
        )
        expected = arrays[f"train/rpn/{image}/valid_anchors"]
        np.testing.assert_array_equal(valid, expected)


def test_order_is_row_then_column_then_ratio():
    height, width, ratios = 2, 3, (0.25, 4.0)
    anchors = anchor_grid((height, width), stride=8, scale=2.0, ratios=ratios)
    expected = [
        [8 * x - w / 2, 8 * y - h / 2, 8 * x + w / 2, 8 * y + h / 2]
        for y in range(height)
        for x in range(width)
        for w, h in ((32, 8), (8, 32))
    ]
    np.testing.assert_array_equal(anchors, expected)


def test_validity_follows_the_order_of_anchors():
    valid = anchor_validity((2, 3), stride=4, padded_size=(4, 8), ratios=(0.5, 2.0))
    np.testing.assert_array_equal(valid, np.repeat([1, 1, 0, 0, 0, 0], 2).astype(bool))


def test_sizes_may_be_unsigned():
    size = np.array([4, 5], np.uint32)
    valid = anchor_validity((1, 3), stride=4, padded_size=size, ratios=(1.0,))
    np.testing.assert_array_equal(valid, [True, True, False])


def test_anchors_are_float32_at_least():
    assert anchor_grid((1, 1), stride=4, dtype=jnp.bfloat16).dtype == jnp.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stride": 0}, "`stride` must be positive, got 0"),
        ({"stride": 4, "scale": -1.0}, "`scale` must be positive"),
        ({"stride": 4, "ratios": ()}, "`ratios` must be positive numbers"),
        ({"stride": 4, "ratios": (1.0, 0.0)}, "`ratios` must be positive numbers"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(RefusedError, match=message):
        anchor_grid((2, 2), **arguments)
