"""Detail-preserving pooling against its authors' code and a brute-force loop."""

import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.nn import DPPDownsample
from tests.nn.resamplers.layers import apply, drawn_variables, normal, run
from tests.nn.torch_goldens import check_layer

GOLDENS = ["dpp_imagenet_01", "dpp_imagenet_init"]


def to_params(golden, prefix):
    return {name: golden[f"{prefix}/{name}"] for name in ("alpha", "lambda")}


def dpp_loop(features, alpha, lambda_, stride):
    """Pool block by block, looking only at pixels inside the map."""
    n, height, width, channels = features.shape
    out = np.zeros((n, math.ceil(height / stride), math.ceil(width / stride), channels))
    for i, j in np.ndindex(*out.shape[1:3]):
        top, left = i * stride, j * stride
        block = features[:, top : top + stride, left : left + stride]
        around = features[
            :, max(0, top - 1) : top + stride, max(0, left - 1) : left + stride
        ]
        smooth = around.sum((1, 2), keepdims=True) / (stride + 1) ** 2
        distances = (block - smooth) ** 2 + 1e-3
        shares = distances / distances.sum((1, 2), keepdims=True)
        weights = np.exp(alpha) + shares ** (np.exp(lambda_) / 2)
        out[:, i, j] = (weights * block).sum((1, 2)) / weights.sum((1, 2))
    return out


@pytest.mark.parametrize("name", GOLDENS)
def test_output_and_gradients_are_those_of_the_authors_in_float64(name):
    with jax.enable_x64(True):
        check_layer(name, DPPDownsample(), to_params, dtype=jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", GOLDENS)
def test_output_and_gradients_are_those_of_the_authors_in_float32(name):
    # Gradients of a parameter sum 48 terms below 1: ten times their rounding, 4e-7.
    check_layer(name, DPPDownsample(), to_params, dtype=jnp.float32, tolerance=4e-6)


@pytest.mark.parametrize("scale", [1, "1/2", "1/3", "1/4"])
@pytest.mark.parametrize("size", [(6, 8), (7, 8), (6, 5), (9, 7), (1, 1), (1, 4)])
def test_pixels_outside_the_map_take_no_part(size, scale):
    with jax.enable_x64(True):
        features = np.float64(normal(0, 2, *size, 3))
        alpha, power = np.float64(normal(1, 3)), np.float64(normal(2, 3))
        params = {"alpha": alpha, "lambda": power}
        out = apply(DPPDownsample(scale=scale), params, features)
        expected = dpp_loop(features, alpha, power, Fraction(scale).denominator)
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


def test_single_pixel_of_a_corner_block_is_kept():
    features = normal(0, 1, 5, 7, 3)
    # A quotient of float32 sums of one term: a spacing each.
    out = run(DPPDownsample(), features)
    np.testing.assert_allclose(out[:, -1, -1], features[:, -1, -1], rtol=3e-7)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_gradients_match_differences(size):
    with jax.enable_x64(True):
        layer = DPPDownsample(param_dtype=jnp.float64)
        features = jnp.asarray(normal(0, 1, *size, 2), jnp.float64)
        variables = drawn_variables(layer, features)
        check_grads(layer.apply, (variables, features), order=1, modes=("rev",))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("value", [0, 1, 1e4])
def test_gradients_on_a_flat_odd_map_are_finite(value, dtype):
    layer = DPPDownsample()
    features = jnp.full((1, 5, 7, 3), value, dtype)
    variables = layer.init(jax.random.key(0), features)

    @jax.jit
    def loss(variables, features):
        out: Any = layer.apply(variables, features)
        return (out.astype(jnp.float32) ** 2).mean()

    for gradient in jax.tree.leaves(jax.grad(loss, (0, 1))(variables, features)):
        assert jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_bfloat16_is_rounded_once_at_the_end(size):
    features = jnp.asarray(normal(0, 2, *size, 3), jnp.bfloat16)
    exact = run(DPPDownsample(), features.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(run(DPPDownsample(), features), exact)


def test_parameters_start_at_zero_and_are_named_as_in_the_paper():
    layer = DPPDownsample()
    params = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)))["params"]
    assert set(params) == {"alpha", "lambda"}
    for value in params.values():
        np.testing.assert_array_equal(value, np.zeros(3))


def test_constant_inside_stays_constant():
    # Weighted means of equal values differ from them by float32 rounding only.
    out = run(DPPDownsample(), jnp.full((1, 7, 6, 3), 2.5))
    np.testing.assert_allclose(out, 2.5, rtol=1e-6)
