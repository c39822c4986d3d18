"""The box head, apart from mmdetection's numbers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import BoxHead

ROIS = jnp.ones((3, 2, 2, 5))


def test_background_is_last_and_boxes_are_class_major():
    head = BoxHead(classes=2, hidden=4)
    shapes = jax.eval_shape(head.init, jax.random.key(0), ROIS)
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes)["params"]
    params["logits"]["bias"] = np.arange(3.0)
    params["deltas"]["bias"] = np.arange(8.0)
    logits, deltas = head.apply({"params": params}, ROIS)
    np.testing.assert_array_equal(logits, [[0, 1, 2]] * 3)
    np.testing.assert_array_equal(deltas, [[[0, 1, 2, 3], [4, 5, 6, 7]]] * 3)


def test_no_rois_have_no_outputs():
    head = BoxHead(classes=2, hidden=4)
    init = jax.jit(head.init_with_output)
    (logits, deltas), _ = init(jax.random.key(0), ROIS[:0])
    assert (logits.shape, deltas.shape) == ((0, 3), (0, 2, 4))


def test_initial_weights_are_those_of_each_layer():
    head: Any = BoxHead(classes=20, hidden=64)
    params = jax.jit(head.init)(jax.random.key(0), jnp.ones((1, 2, 2, 16)))["params"]
    xavier = np.sqrt(2 / 128)
    expected = {"fc1": xavier, "fc2": xavier, "logits": 0.01, "deltas": 0.001}
    for name, deviation in expected.items():
        kernel = params[name]["kernel"]
        np.testing.assert_allclose(np.std(kernel), deviation, rtol=0.1, err_msg=name)
        assert not np.any(params[name]["bias"])
    assert np.max(np.abs(params["fc1"]["kernel"])) <= xavier * np.sqrt(3)


def test_outputs_are_float32_where_the_computation_is_bfloat16():
    head = BoxHead(classes=2, hidden=4, dtype=jnp.bfloat16)
    outputs, _ = jax.eval_shape(lambda: head.init_with_output(jax.random.key(0), ROIS))
    assert {output.dtype for output in outputs} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize(
    ("fields", "features", "words"),
    [
        ({"classes": 0}, ROIS, "`classes` must be a positive int, got 0"),
        ({"hidden": True}, ROIS, "`hidden` must be a positive int, got True"),
        ({"param_dtype": None}, ROIS, "`param_dtype` must be a floating dtype"),
        ({}, ROIS[0], "`features` must have rank 4"),
    ],
)
def test_what_does_not_fit_is_refused(fields, features, words):
    head: Any = BoxHead(**{"classes": 2, **fields})
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(lambda: head.init(jax.random.key(0), features))
