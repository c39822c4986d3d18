"""Convolutions and their gradients, against XLA's."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from carafe_jax.ops.convolution import convolve

NHWC = ("NHWC", "HWIO", "NHWC")


def gradients(conv, x, kernel, **fields):
    def loss(x, kernel):
        out = conv(x, kernel, dimension_numbers=NHWC, **fields)
        return (out.astype(jnp.promote_types(out.dtype, jnp.float32)) ** 2).sum()

    return jax.grad(loss, (0, 1))(x, kernel)


def draw(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


@pytest.mark.parametrize(
    "fields",
    [
        {"window_strides": (1, 1), "padding": ((1, 1), (1, 1))},
        {"window_strides": (2, 2), "padding": ((1, 1), (1, 1))},
        {"window_strides": (2, 3), "padding": ((0, 2), (3, 1))},
        {"window_strides": (1, 1), "padding": "VALID"},
        {"window_strides": (2, 2), "padding": "SAME"},
        {"window_strides": (2, 1), "padding": "SAME", "rhs_dilation": (2, 3)},
        {"window_strides": (1, 1), "padding": ((-1, 2), (0, 0))},
    ],
)
@pytest.mark.parametrize("window", [(1, 1), (3, 3), (2, 5)])
def test_gradients_are_those_of_xla(fields, window):
    with jax.enable_x64(True):
        x, kernel = draw(2, 9, 17, 3), draw(*window, 3, 4)
        # Sums of products in another order.
        chex.assert_trees_all_close(
            gradients(convolve, x, kernel, **fields),
            gradients(lax.conv_general_dilated, x, kernel, **fields),
            rtol=1e-10,
            atol=1e-10,
        )


def test_empty_outputs_have_the_gradient_zero():
    fields = {"window_strides": (2, 2), "padding": "VALID"}
    for gradient in gradients(convolve, draw(1, 2, 2, 3), draw(3, 3, 3, 4), **fields):
        assert not np.any(gradient)


def test_gradients_of_narrow_kernels_are_summed_in_float32():
    x, kernel = draw(1, 64, 64, 2), draw(3, 3, 2, 4)
    fields = {"window_strides": (1, 1), "padding": "SAME"}
    narrow = [jnp.asarray(a, jnp.bfloat16) for a in (x, kernel)]
    wide = [a.astype(jnp.float32) for a in narrow]
    found = gradients(convolve, *narrow, **fields)[1]
    expected = gradients(convolve, *wide, **fields)[1]
    assert found.dtype == jnp.bfloat16
    # The output's own rounding, of 8 bits, and that of the result.
    error = jnp.abs(found.astype(jnp.float32) - expected).max()
    assert error <= 2**-6 * jnp.abs(expected).max()


def test_second_derivatives_are_those_of_xla():
    fields = {"window_strides": (2, 2), "padding": "SAME"}

    def penalty(conv, x, kernel):
        return (gradients(conv, x, kernel, **fields)[0] ** 2).sum()

    with jax.enable_x64(True):
        x, kernel = draw(1, 6, 5, 2), draw(3, 3, 2, 3)
        found, expected = (
            jax.grad(penalty, (1, 2))(conv, x, kernel)
            for conv in (convolve, lax.conv_general_dilated)
        )
        chex.assert_trees_all_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("groups", [2, 6])
def test_convolutions_in_groups_are_left_to_xla(groups):
    x, kernel = draw(1, 5, 5, 6), draw(3, 3, 6 // groups, 6)
    found, expected = (
        conv(
            jnp.asarray(x, jnp.float32),
            jnp.asarray(kernel, jnp.float32),
            (1, 1),
            "SAME",
            dimension_numbers=NHWC,
            feature_group_count=groups,
        )
        for conv in (convolve, lax.conv_general_dilated)
    )
    chex.assert_trees_all_equal(found, expected)
