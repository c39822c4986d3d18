"""Resizing to a given size, against PyTorch."""

import functools

import chex
import jax
import jax.numpy as jnp
import pytest

from carafe_jax.nn import (
    resize_bilinear,
    resize_nearest,
)
from tests.nn.torch_goldens import load, nhwc, value_and_gradients

resize_aligned = functools.partial(resize_bilinear, align_corners=True)
GOLDEN_RESIZES = {
    "bilinear_x2_ac1": (resize_aligned, (10, 14)),
    "interp_size_0": (resize_nearest, (9, 15)),
    "interp_size_1": (resize_nearest, (8, 9)),
    "interp_size_2": (resize_bilinear, (9, 23)),
    "interp_size_3": (resize_aligned, (9, 23)),
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


def test_aligned_corners_keep_their_values_and_one_row_is_the_first():
    features = jnp.arange(12.0).reshape(1, 3, 4, 1)
    enlarged = resize_aligned(features, size=(7, 5))
    for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert enlarged[0, *corner, 0] == features[0, *corner, 0]
    row = resize_aligned(features, size=(1, 4))
    chex.assert_trees_all_close(row, features[:, :1], rtol=1e-6)


@pytest.mark.parametrize("resize", [resize_bilinear, resize_aligned])
def test_program_that_doubles_maps_of_any_size_can_be_exported(resize):
    shape = jax.export.symbolic_shape("n, h, w, 2")
    argument = jax.ShapeDtypeStruct(shape, jnp.float32)

    def double(x):
        return resize(x, size=(2 * x.shape[1], 2 * x.shape[2]))

    program = jax.export.export(jax.jit(double))(argument)
    features = jnp.arange(24.0).reshape(1, 3, 4, 2)
    # Positions and weights of a few roundings.
    chex.assert_trees_all_close(program.call(features), double(features), rtol=1e-5)
