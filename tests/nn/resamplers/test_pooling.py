"""Pools against PyTorch, loops and their own rules."""

import fractions

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.nn import AveragePoolDownsample, MaxPoolDownsample
from tests.nn.resamplers.layers import normal, run
from tests.nn.resamplers.loops import pool_loop
from tests.nn.torch_goldens import check_layer, no_params

AVERAGE_K2 = AveragePoolDownsample(kernel_size=2)
AVERAGE_VALID_K2 = AveragePoolDownsample(kernel_size=2, divisor="valid")
GOLDEN_LAYERS = {
    "maxpool_3s2p1_even": (MaxPoolDownsample(), no_params),
    "maxpool_3s2p1_odd": (MaxPoolDownsample(), no_params),
    "maxpool_3s2p1_ties_even": (MaxPoolDownsample(), no_params),
    "maxpool_3s2p1_ties_odd": (MaxPoolDownsample(), no_params),
    "avgpool_3s2p1_even": (AveragePoolDownsample(), no_params),
    "avgpool_3s2p1_odd": (AveragePoolDownsample(), no_params),
    "avgpool_2s2_even": (AVERAGE_K2, no_params),
    "avgpool_2s2_ceil_nopadcount_even": (AVERAGE_VALID_K2, no_params),
    "avgpool_2s2_ceil_nopadcount_odd": (AVERAGE_VALID_K2, no_params),
}


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float64(name):
    with jax.enable_x64(True):
        check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float32(name):
    # Sums of nine values of about 1: 1e-5 is ten times their rounding.
    check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float32, tolerance=1e-5)


@pytest.mark.parametrize("scale", ["1/2", "1/3"])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("kernel_size", [2, 3])
@pytest.mark.parametrize("divisor", ["window", "valid"])
def test_average_pool_matches_a_loop(divisor, kernel_size, size, scale):
    features = normal(8, 2, *size, 3)
    layer = AveragePoolDownsample(scale=scale, kernel_size=kernel_size, divisor=divisor)

    def average(pixels):
        return sum(pixels) / (kernel_size**2 if divisor == "window" else len(pixels))

    expected = pool_loop(features, kernel_size, fractions.Fraction(scale), average)
    # Float32 rounds means of values of about 1.
    chex.assert_trees_all_close(np.float64(run(layer, features)), expected, atol=1e-6)


@pytest.mark.parametrize("scale", ["1/2", "1/3"])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("kernel_size", [2, 3, 5])
def test_max_pool_matches_a_loop_on_negative_maps_too(kernel_size, size, scale):
    features = -np.abs(normal(9, 2, *size, 3))
    layer = MaxPoolDownsample(scale=scale, kernel_size=kernel_size)

    def maximum(pixels):
        return np.max(pixels, axis=0)

    expected = pool_loop(features, kernel_size, fractions.Fraction(scale), maximum)
    np.testing.assert_array_equal(run(layer, features), expected)


def test_unknown_divisor_is_refused():
    layer = AveragePoolDownsample(divisor="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r'`divisor` must be "window".*all'):
        run(layer, jnp.zeros((1, 4, 6, 3)))
