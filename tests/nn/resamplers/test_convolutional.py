"""Resamplers with a convolution against PyTorch, loops and rules."""

import fractions
import math
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.nn import (
    BilinearConvUpsample,
    DeconvUpsample,
    NearestConvUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
)
from tests.nn.resamplers.layers import (
    WHOLE_UPSAMPLERS,
    apply,
    drawn_variables,
    normal,
    run,
)
from tests.nn.resamplers.loops import bilinear_loop, conv_loop, nearest_loop
from tests.nn.torch_goldens import check_layer


def deconv_params(golden, prefix):
    weight = golden[f"{prefix}/weight"]
    kernel = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return {"deconv": {"kernel": kernel, "bias": golden[f"{prefix}/bias"]}}


def shuffle_params(golden, prefix):
    kernel = golden[f"{prefix}/upsample_conv.weight"].transpose(2, 3, 1, 0)
    return {"conv": {"kernel": kernel, "bias": golden[f"{prefix}/upsample_conv.bias"]}}


DECONV_K2 = DeconvUpsample(features=4, kernel_size=2)
DECONV_K4 = DeconvUpsample(features=4, kernel_size=4)
GOLDEN_LAYERS = {
    "deconv_k3s2p1op1": (DeconvUpsample(features=4), deconv_params),
    "deconv_k2s2p0": (DECONV_K2, deconv_params),
    "deconv_k4s2p1": (DECONV_K4, deconv_params),
    "pixel_shuffle_x2": (PixelShuffleUpsample(features=5), shuffle_params),
}


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float64(name):
    with jax.enable_x64(True):
        check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float32(name):
    # Gradients of a bias sum 140 values of about 1: 1e-5 is ten times their rounding.
    check_layer(name, *GOLDEN_LAYERS[name], dtype=jnp.float32, tolerance=1e-5)


@pytest.mark.parametrize(
    ("layer", "interpolate"),
    [(NearestConvUpsample, nearest_loop), (BilinearConvUpsample, bilinear_loop)],
)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_interpolation_comes_before_the_convolution(layer, interpolate, kernel_size):
    features = normal(2, 2, 3, 5, 4)
    kernel, bias = normal(3, kernel_size, kernel_size, 4, 6), normal(4, 6)
    enlarged = interpolate(features, (5, 8))
    module = layer(scale="3/2", features=6, kernel_size=kernel_size)
    out = apply(module, {"conv": {"kernel": kernel, "bias": bias}}, features)
    # Float32 rounds sums of up to 100 products of values of about 1.
    chex.assert_trees_all_close(
        np.float64(out), conv_loop(enlarged, kernel, bias, 1), atol=2e-5
    )


@pytest.mark.parametrize("scale", ["1/2", "1/3"])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_strided_convolution_matches_a_loop(kernel_size, size, scale):
    features = normal(5, 2, *size, 4)
    kernel, bias = normal(6, kernel_size, kernel_size, 4, 3), normal(7, 3)
    layer = StridedConvDownsample(scale=scale, features=3, kernel_size=kernel_size)
    out = apply(layer, {"conv": {"kernel": kernel, "bias": bias}}, features)
    expected = conv_loop(features, kernel, bias, fractions.Fraction(scale))
    # Float32 rounds sums of up to 100 products of values of about 1.
    chex.assert_trees_all_close(np.float64(out), expected, atol=2e-5)


def test_pixel_shuffle_has_the_output_channel_slowest():
    # The convolution copies channel c to channels 4 c + phase and adds 100 * phase.
    kernel = np.zeros((1, 1, 2, 8), np.float32)
    for channel, phase in np.ndindex(2, 4):
        kernel[0, 0, channel, 4 * channel + phase] = 1
    bias = np.array([0, 100, 200, 300] * 2, np.float32)
    features = np.array([[[[1, 2], [3, 4]]]], np.float32)
    layer = PixelShuffleUpsample(kernel_size=1)
    out = apply(layer, {"conv": {"kernel": kernel, "bias": bias}}, features)
    np.testing.assert_array_equal(
        out[0, ..., 0], [[1, 101, 3, 103], [201, 301, 203, 303]]
    )
    np.testing.assert_array_equal(out[..., 1], out[..., 0] + 1)


def test_deconvolution_writes_the_kernel_flipped_around_each_pixel():
    # Window 2, scale 2: each pixel times the flipped kernel fills its own block.
    kernel = np.array([[1, 2], [3, 4]], np.float32)[..., None, None]
    features = np.array([[[[1], [10]]]], np.float32)
    layer = DeconvUpsample(kernel_size=2, use_bias=False)
    out = apply(layer, {"deconv": {"kernel": kernel}}, features)
    np.testing.assert_array_equal(out[0, ..., 0], [[4, 3, 40, 30], [2, 1, 20, 10]])


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_deconvolution_of_any_window_has_the_scaled_size(scale, kernel_size):
    layer = DeconvUpsample(scale=scale, kernel_size=kernel_size)
    out = jax.eval_shape(lambda features: run(layer, features), jnp.zeros((1, 3, 5, 2)))
    assert out.shape == (1, 3 * scale, 5 * scale, 2)


@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_of_a_deconvolution_are_named_deconv(use_bias):
    layer = DeconvUpsample(features=2, use_bias=use_bias)
    variables = drawn_variables(layer, jnp.zeros((1, 4, 4, 3)))
    expected = {"kernel": (3, 3, 3, 2)} | ({"bias": (2,)} if use_bias else {})
    assert jax.tree.map(jnp.shape, variables) == {"params": {"deconv": expected}}


def test_default_initial_values_are_xavier_uniform_and_zero():
    features = jnp.zeros((1, 4, 4, 32))
    layer = DeconvUpsample(features=16)
    params: Any = layer.init(jax.random.key(0), features)["params"]
    bound = math.sqrt(6 / (9 * 32 + 9 * 16))
    assert 0.99 * bound < jnp.max(jnp.abs(params["deconv"]["kernel"])) <= bound
    assert jnp.all(params["deconv"]["bias"] == 0)


@pytest.mark.parametrize("layer", [NearestConvUpsample, BilinearConvUpsample])
def test_gradients_of_interpolation_and_convolution_match_differences(layer):
    with jax.enable_x64(True):
        features = jnp.asarray(normal(0, 1, 3, 4, 2), jnp.float64)
        module = layer(scale="3/2", param_dtype=jnp.float64)
        variables = drawn_variables(module, features)
        check_grads(module.apply, (variables, features), order=1, modes=("rev",))


@pytest.mark.parametrize("layer", WHOLE_UPSAMPLERS)
def test_learned_upsampler_refuses_a_scale_that_is_not_whole(layer):
    message = "`scale` must be a whole number for this layer, got 3/2"
    with pytest.raises(ValueError, match=message):
        run(layer(scale="3/2"), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("padding", [0, 2])
def test_deconvolution_refuses_a_padding_that_misses_the_scaled_size(padding):
    message = rf"`padding` must .* got {padding} with kernel_size 3 and scale 2"
    with pytest.raises(ValueError, match=message):
        run(DeconvUpsample(padding=padding), jnp.zeros((1, 4, 6, 3)))
