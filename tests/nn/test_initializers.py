"""Tests of the initializers of CARAFE++ layers."""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.nn import CARAFE, gaussian_kernel_bias


def kernels_at_first(scale, *, kernel_size=5, groups=1, deviation=0.6, size=12):
    """Return the kernels of a layer whose encoder sees nothing but its bias."""
    layer = CARAFE(
        scale=scale,
        kernel_size=kernel_size,
        groups=groups,
        encoder_kernel_init=nn.initializers.zeros,
        encoder_bias_init=gaussian_kernel_bias(
            scale=scale, kernel_size=kernel_size, groups=groups, deviation=deviation
        ),
    )
    features = jnp.ones((1, size, size, 2 * groups))
    variables = layer.init(jax.random.key(0), features)
    _, state = layer.apply(variables, features, mutable=["intermediates"])
    return np.asarray(state["intermediates"]["kernels"][0][0], np.float64)


@pytest.mark.parametrize("scale", [1, 2, 3, "3/2", "2/3", "1/2", "1/3"])
@pytest.mark.parametrize("groups", [1, 2])
def test_kernels_are_gaussians_around_the_output_pixel(scale, groups):
    size, kernel_size, deviation = 12, 5, 0.7
    kernels = kernels_at_first(scale, groups=groups, deviation=deviation, size=size)
    ratio = Fraction(scale)
    width = deviation * max(1.0, float(1 / ratio))
    for row in range(kernels.shape[0]):
        for column in range(kernels.shape[1]):
            expected = np.zeros((kernel_size, kernel_size))
            for (a, b), _ in np.ndenumerate(expected):
                distance = [
                    int(out / ratio) + tap - 2 - (float((out + 0.5) / ratio) - 0.5)
                    for out, tap in ((row, a), (column, b))
                ]
                expected[a, b] = np.exp(-np.sum(np.square(distance)) / (2 * width**2))
            expected /= expected.sum()
            for group in range(groups):
                np.testing.assert_allclose(
                    kernels[row, column, group], expected.ravel(), atol=1e-6
                )


def test_up_sampling_starts_as_interpolation():
    ramp = jnp.arange(16.0)[None, :, None, None] * jnp.ones((1, 16, 16, 3))
    layer = CARAFE(
        encoder_kernel_init=nn.initializers.zeros,
        encoder_bias_init=gaussian_kernel_bias(scale=2),
    )
    doubled, _ = layer.init_with_output(jax.random.key(0), ramp)
    expected = (np.arange(32) + 0.5) / 2 - 0.5
    inside = slice(6, 26)
    difference = doubled[0, inside, 16, 0] - expected[inside]
    assert abs(difference).max() < 5e-3


def test_bias_of_the_compressor_stays_that_of_bias_init():
    layer = CARAFE(encoder_bias_init=gaussian_kernel_bias(scale=2))
    params: Any = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 8)))["params"]
    assert not params["channel_compressor"]["bias"].any()
    assert params["content_encoder"]["bias"].any()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"scale": 0}, "scale"),
        ({"scale": 2, "kernel_size": 4}, "kernel_size"),
        ({"scale": 2, "groups": 0}, "groups"),
        ({"scale": 2, "deviation": 0.0}, "deviation"),
        ({"scale": 2, "deviation": float("nan")}, "deviation"),
        ({"scale": 2, "deviation": float("inf")}, "deviation"),
    ],
)
def test_wrong_arguments_are_refused(arguments, word):
    with pytest.raises(RefusedError, match=f"`{word}`"):
        gaussian_kernel_bias(**arguments)


def test_a_bias_of_another_layer_is_refused():
    layer = CARAFE(encoder_bias_init=gaussian_kernel_bias(scale=3))
    with pytest.raises(RefusedError, match="have shape"):
        layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 8)))
