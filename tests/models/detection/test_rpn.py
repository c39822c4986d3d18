"""The head of a region proposal network, apart from mmdetection's numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import RPNHead

LEVEL = jnp.ones((2, 3, 4, 5))


def test_outputs_are_in_the_order_row_column_anchor_coordinate():
    head: Any = RPNHead(features=2, anchors=3)
    shapes = jax.eval_shape(head.init, jax.random.key(0), LEVEL)
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)["params"]
    params["logits"]["bias"] = np.arange(3.0)
    params["deltas"]["bias"] = np.arange(12.0)
    params["conv"]["kernel"][1, 1, 0] = 1
    params["logits"]["kernel"][...] = 1
    pixels = jnp.arange(24.0).reshape(2, 3, 4, 1)
    features = jnp.concatenate([pixels, LEVEL[..., 1:]], axis=-1)
    logits, deltas = jax.jit(head.apply)({"params": params}, features)
    expected = 2 * np.arange(24).reshape(2, 12, 1) + np.arange(3)
    np.testing.assert_array_equal(logits, expected.reshape(2, 36))
    np.testing.assert_array_equal(deltas[1, 7], [4, 5, 6, 7])


def test_initial_weights_are_normal_with_a_deviation_of_a_hundredth():
    head: Any = RPNHead(features=64)
    params = jax.jit(head.init)(jax.random.key(0), jnp.ones((1, 1, 1, 64)))["params"]
    for name, layer in params.items():
        deviation = np.std(layer["kernel"])
        np.testing.assert_allclose(deviation, 0.01, rtol=0.1, err_msg=name)
        assert not np.any(layer["bias"])


def test_outputs_are_float32_where_the_computation_is_bfloat16():
    head = RPNHead(features=4, dtype=jnp.bfloat16)
    outputs, _ = jax.eval_shape(lambda: head.init_with_output(jax.random.key(0), LEVEL))
    assert {output.dtype for output in outputs} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    ("fields", "features", "words"),
    [
        ({"anchors": 0}, LEVEL, "`anchors` must be a positive int, got 0"),
        ({"features": 2.0}, LEVEL, "`features` must be a positive int, got 2.0"),
        ({"dtype": "bf16"}, LEVEL, "`dtype` must be a floating dtype"),
        ({}, LEVEL[0], "`features` must have rank 4"),
        ({}, LEVEL > 0, "`features` must be floating"),
    ],
)
def test_what_does_not_fit_is_refused(fields, features, words):
    head: Any = RPNHead(**fields)
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(lambda: head.init(jax.random.key(0), features))
