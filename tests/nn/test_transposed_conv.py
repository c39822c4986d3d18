"""The transposed convolution by phases, against flax's."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.nn.transposed_conv import TransposedConv


@pytest.mark.parametrize(
    ("side", "scale", "padding"),
    [(2, 2, 0), (3, 2, 1), (4, 2, 1), (1, 2, 0), (5, 3, 1), (3, 3, 0), (7, 2, 3)],
)
def test_values_and_gradients_are_those_of_flax(side, scale, padding):
    before = side - 1 - padding
    after = before + scale + 2 * padding - side
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    reference = nn.ConvTranspose(
        6, (side, side), (scale, scale), [(before, after)] * 2, param_dtype=jnp.float64
    )
    own = TransposedConv(
        6, side, scale, before, dtype=jnp.float64, param_dtype=jnp.float64
    )

    def outputs(layer):
        def loss(variables, x):
            return (jnp.sin(layer.apply(variables, x)) ** 2).sum()

        out = layer.apply(variables, x)
        return out, jax.grad(loss, (0, 1))(variables, x)

    with jax.enable_x64(True):
        variables = own.init(jax.random.key(0), x)
        chex.assert_trees_all_equal_shapes(
            variables, reference.init(jax.random.key(0), x)
        )
        # Sums of at most 7 x 7 x 4 products in another order.
        chex.assert_trees_all_close(
            outputs(own), outputs(reference), rtol=1e-11, atol=1e-11
        )
