"""Interpolation against PyTorch and loops."""

import fractions
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.nn import BilinearUpsample, NearestUpsample
from tests.nn.resamplers.layers import normal, run
from tests.nn.resamplers.loops import bilinear_loop, nearest_loop
from tests.nn.torch_goldens import check_layer, no_params

GOLDEN_LAYERS = {
    "nearest_x2": (NearestUpsample(), no_params),
    "bilinear_x2_ac0": (BilinearUpsample(), no_params),
}


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float64(name):
    with jax.enable_x64(True):
        check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float32(name):
    check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float32, tolerance=1e-5)


@pytest.mark.parametrize("scale", ["3/2", "7/3", 3])
@pytest.mark.parametrize("size", [(4, 7), (1, 3)])
@pytest.mark.parametrize(
    ("layer", "loop"),
    [(NearestUpsample, nearest_loop), (BilinearUpsample, bilinear_loop)],
)
def test_interpolation_matches_a_loop_at_any_scale(layer, loop, size, scale):
    features = normal(1, 2, *size, 3)
    ratio = fractions.Fraction(scale)
    expected = loop(features, [math.ceil(length * ratio) for length in size])
    # Float32 rounds sums of four products of values of about 1.
    chex.assert_trees_all_close(
        run(layer(scale=scale), features), expected.astype(np.float32), atol=2e-6
    )


@pytest.mark.parametrize("scale", [2, fractions.Fraction(2), "2", "4/2"])
def test_scale_may_be_an_int_a_fraction_or_a_string(scale):
    features = normal(0, 1, 3, 4, 2)
    expected = features.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(run(NearestUpsample(scale=scale), features), expected)
