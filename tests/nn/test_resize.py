"""Resizing to a given size, against PyTorch."""

import chex
import jax
import jax.numpy as jnp
import pytest

from carafe_jax.nn import (
    resize_bilinear,
    resize_nearest,
)
from tests.nn.torch_goldens import load, nhwc, value_and_gradients

GOLDEN_RESIZES = {
    "interp_size_0": (resize_nearest, (9, 15)),
    "interp_size_1": (resize_nearest, (8, 9)),
    "interp_size_2": (resize_bilinear, (9, 23)),
    "interp_size_4": (resize_bilinear, (2, 3)),
}


@pytest.mark.parametrize("name", GOLDEN_RESIZES)
def test_resizing_to_a_given_size_is_that_of_pytorch(name):
    resize, size = GOLDEN_RESIZES[name]
    golden = load(name)
    with jax.enable_x64(True):
        features = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        out, (gradient,) = value_and_gradients(
            lambda features: resize(features, size=size), nhwc(golden["R/0"]), features
        )
        expected = nhwc(golden["ref64_output/0"]), nhwc(golden["ref64_grad_input/0"])
        chex.assert_trees_all_close((out, gradient), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("resize", [resize_nearest, resize_bilinear])
@pytest.mark.parametrize("size", [(0, 3), (3, -1), (3,)])
def test_resizing_to_nothing_is_refused(resize, size):
    with pytest.raises(ValueError, match=r"`size` must be two numbers.*got \("):
        resize(jnp.zeros((1, 4, 6, 3)), size=size)
