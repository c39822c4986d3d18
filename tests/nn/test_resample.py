"""Plain resamplers against PyTorch's numbers, brute-force loops and their own rules."""

import fractions
import itertools
import math
import pathlib
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.test_util import check_grads

from carafe_jax.nn import resample
from carafe_jax.nn.resample import (
    AveragePoolDownsample,
    BilinearConvUpsample,
    BilinearUpsample,
    DeconvUpsample,
    MaxPoolDownsample,
    NearestConvUpsample,
    NearestUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
)

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "models"

ANY_UPSAMPLERS = [
    NearestUpsample,
    BilinearUpsample,
    NearestConvUpsample,
    BilinearConvUpsample,
]
WHOLE_UPSAMPLERS = [DeconvUpsample, PixelShuffleUpsample]
UPSAMPLERS = ANY_UPSAMPLERS + WHOLE_UPSAMPLERS
POOLS = [MaxPoolDownsample, AveragePoolDownsample]
DOWNSAMPLERS = [StridedConvDownsample, *POOLS]
CONVOLUTIONS = [
    NearestConvUpsample,
    BilinearConvUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
]
LAYERS = UPSAMPLERS + DOWNSAMPLERS
LAYERS_AND_SCALES = [
    *itertools.product(ANY_UPSAMPLERS, [1, 2, 3, "3/2", "7/3"]),
    *itertools.product(WHOLE_UPSAMPLERS, [1, 2, 3]),
    *itertools.product(DOWNSAMPLERS, [1, "1/2", "1/3"]),
]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_variables(layer, features):
    """Draw parameters with NumPy: compiling initializers takes longer than a test."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), features)
    return jax.tree.map(lambda leaf: normal(10, *leaf.shape).astype(leaf.dtype), shapes)


def apply(layer: nn.Module, params, features) -> Any:
    return layer.apply({"params": params}, features)


def run(layer: nn.Module, features, **kwargs) -> Any:
    return layer.apply(drawn_variables(layer, features), features, **kwargs)


# Reference numbers of PyTorch


def nhwc(array):
    return np.moveaxis(array, 1, -1)


def deconv_params(golden, prefix):
    weight = golden[f"{prefix}/weight"]
    kernel = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return {"deconv": {"kernel": kernel, "bias": golden[f"{prefix}/bias"]}}


def shuffle_params(golden, prefix):
    kernel = golden[f"{prefix}/upsample_conv.weight"].transpose(2, 3, 1, 0)
    return {"conv": {"kernel": kernel, "bias": golden[f"{prefix}/upsample_conv.bias"]}}


def no_params(golden, prefix):
    del golden, prefix
    return {}


DECONV_K2 = DeconvUpsample(features=4, kernel_size=2)
AVERAGE_K2 = AveragePoolDownsample(kernel_size=2)
AVERAGE_VALID_K2 = AveragePoolDownsample(kernel_size=2, divisor="valid")
GOLDEN_LAYERS = {
    "nearest_x2": (NearestUpsample(), no_params),
    "bilinear_x2_ac0": (BilinearUpsample(), no_params),
    "deconv_k3s2p1op1": (DeconvUpsample(features=4), deconv_params),
    "deconv_k2s2p0": (DECONV_K2, deconv_params),
    "deconv_k4s2p1": (DeconvUpsample(features=4, kernel_size=4), deconv_params),
    "pixel_shuffle_x2": (PixelShuffleUpsample(features=5), shuffle_params),
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
GOLDEN_RESIZES = {
    "interp_size_0": (resample.resize_nearest, (9, 15)),
    "interp_size_1": (resample.resize_nearest, (8, 9)),
    "interp_size_2": (resample.resize_bilinear, (9, 23)),
    "interp_size_4": (resample.resize_bilinear, (2, 3)),
}


def value_and_gradients(function, cotangent, *args):
    out, pullback = jax.vjp(jax.jit(function), *args)
    return out, pullback(jnp.asarray(cotangent, out.dtype))


def check_golden_layer(name, dtype, tolerance):
    layer, to_params = GOLDEN_LAYERS[name]
    golden = np.load(GOLDENS / f"{name}.npz")
    params, features = jax.tree.map(
        lambda array: jnp.asarray(array, dtype),
        (to_params(golden, "state_dict"), nhwc(golden["input/0"])),
    )
    out, gradients = value_and_gradients(
        lambda params, features: apply(layer, params, features),
        nhwc(golden["R/0"]),
        params,
        features,
    )
    assert out.dtype == dtype
    expected = (
        nhwc(golden["ref64_output/0"]),
        (
            to_params(golden, "ref64_grad_param"),
            nhwc(golden["ref64_grad_input/0"]),
        ),
    )
    actual = jax.tree.map(np.float64, (out, gradients))
    chex.assert_trees_all_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float64(name):
    with jax.enable_x64(True):
        check_golden_layer(name, jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_and_gradients_are_those_of_pytorch_in_float32(name):
    # Gradients of a bias sum 140 values of about 1: 1e-5 is ten times their rounding.
    check_golden_layer(name, jnp.float32, tolerance=1e-5)


@pytest.mark.parametrize("name", GOLDEN_RESIZES)
def test_resizing_to_a_given_size_is_that_of_pytorch(name):
    resize, size = GOLDEN_RESIZES[name]
    golden = np.load(GOLDENS / f"{name}.npz")
    with jax.enable_x64(True):
        features = jnp.asarray(nhwc(golden["input/0"]), jnp.float64)
        out, (gradient,) = value_and_gradients(
            lambda features: resize(features, size=size), nhwc(golden["R/0"]), features
        )
        expected = nhwc(golden["ref64_output/0"]), nhwc(golden["ref64_grad_input/0"])
        chex.assert_trees_all_close((out, gradient), expected, rtol=1e-9, atol=1e-9)


# Brute-force loops


def windows(features, kernel_size, scale):
    """Each output pixel, its source pixels and their taps inside the map."""
    _, height, width, _ = features.shape
    before = (kernel_size - 1) // 2
    stride = round(1 / scale)
    for i, j in np.ndindex(math.ceil(height * scale), math.ceil(width * scale)):
        yield (
            i,
            j,
            [
                (a, b, i * stride + a - before, j * stride + b - before)
                for a, b in np.ndindex(kernel_size, kernel_size)
                if 0 <= i * stride + a - before < height
                and 0 <= j * stride + b - before < width
            ],
        )


def conv_loop(features, kernel, bias, scale):
    n, height, width, _ = features.shape
    size = math.ceil(height * scale), math.ceil(width * scale)
    out = np.zeros((n, *size, len(bias))) + bias
    for i, j, taps in windows(features, len(kernel), scale):
        for a, b, y, x in taps:
            out[:, i, j] += features[:, y, x] @ kernel[a, b]
    return out


def pool_loop(features, kernel_size, scale, pool):
    n, height, width, channels = features.shape
    out = np.zeros((n, math.ceil(height * scale), math.ceil(width * scale), channels))
    for i, j, taps in windows(features, kernel_size, scale):
        out[:, i, j] = pool([features[:, y, x] for _, _, y, x in taps])
    return out


def nearest_loop(features, size):
    _, height, width, _ = features.shape
    rows = [i * height // size[0] for i in range(size[0])]
    columns = [j * width // size[1] for j in range(size[1])]
    return features[:, rows][:, :, columns]


def bilinear_loop(features, size):
    for axis, length in zip((1, 2), size, strict=True):
        slices = []
        for i in range(length):
            centre = (i + 0.5) * features.shape[axis] / length - 0.5
            centre = min(max(centre, 0), features.shape[axis] - 1)
            low = math.floor(centre)
            high = min(low + 1, features.shape[axis] - 1)
            slices.append(
                (1 - centre + low) * features.take(low, axis)
                + (centre - low) * features.take(high, axis)
            )
        features = np.stack(slices, axis)
    return features


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


# Rules that every layer follows


@pytest.mark.parametrize(("layer", "scale"), LAYERS_AND_SCALES)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 7), (6, 3)])
def test_output_has_the_scaled_size_rounded_up(layer, scale, size):
    ratio = fractions.Fraction(scale)
    out = jax.eval_shape(
        lambda features: run(layer(scale=scale), features),
        jax.ShapeDtypeStruct((2, *size, 3), jnp.float32),
    )
    assert out.shape == (2, *(math.ceil(length * ratio) for length in size), 3)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_deconvolution_of_any_window_has_the_scaled_size(scale, kernel_size):
    layer = DeconvUpsample(scale=scale, kernel_size=kernel_size)
    out = jax.eval_shape(lambda features: run(layer, features), jnp.zeros((1, 3, 5, 2)))
    assert out.shape == (1, 3 * scale, 5 * scale, 2)


@pytest.mark.parametrize("layer", LAYERS)
def test_empty_batch_gives_an_empty_batch(layer):
    features = jnp.zeros((0, 4, 6, 3))
    out, gradient = jax.value_and_grad(lambda x: run(layer(), x).sum())(features)
    assert out == 0
    assert gradient.shape == features.shape


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, DeconvUpsample])
@pytest.mark.parametrize(("features", "expected"), [(None, 3), (7, 7)])
def test_features_sets_the_number_of_output_channels(layer, features, expected):
    out = jax.eval_shape(
        lambda inputs: run(layer(features=features), inputs), jnp.zeros((1, 4, 4, 3))
    )
    assert out.shape[-1] == expected


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_output_and_gradient_have_the_dtype_of_the_input(layer, dtype):
    out, gradient = jax.eval_shape(
        jax.value_and_grad(lambda features: run(layer(), features).sum()),
        jax.ShapeDtypeStruct((1, 4, 6, 3), dtype),
    )
    assert out.dtype == dtype
    assert gradient.dtype == dtype


@pytest.mark.parametrize("layer", LAYERS)
def test_bfloat16_is_near_float32(layer):
    features = jnp.asarray(normal(0, 1, 4, 6, 3), jnp.bfloat16)
    out = run(layer(), features).astype(jnp.float32)
    expected = run(layer(), features.astype(jnp.float32))
    # Parameters and sums of up to 27 products of about 1 are rounded to 8 bits.
    chex.assert_trees_all_close(out, expected, atol=0.2)


@pytest.mark.parametrize("layer", LAYERS)
def test_dtype_sets_the_dtype_of_the_output(layer):
    assert run(layer(dtype=jnp.bfloat16), normal(0, 1, 4, 6, 3)).dtype == jnp.bfloat16


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, DeconvUpsample])
def test_param_dtype_sets_the_dtype_of_the_parameters(layer):
    variables = drawn_variables(
        layer(param_dtype=jnp.bfloat16), jnp.zeros((1, 4, 4, 3))
    )
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(variables)}
    assert dtypes == {"bfloat16"}


@pytest.mark.parametrize(
    "layer",
    [BilinearUpsample(scale="3/2"), AveragePoolDownsample(kernel_size=5)],
    ids=lambda layer: type(layer).__name__,
)
def test_low_precision_is_rounded_once_at_the_end(layer):
    features = jnp.asarray(normal(0, 2, 9, 7, 3), jnp.bfloat16)
    exact = run(layer, features.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(run(layer, features), exact)


@pytest.mark.parametrize("layer", LAYERS)
def test_train_changes_nothing(layer):
    features = normal(0, 1, 4, 6, 3)
    np.testing.assert_array_equal(
        run(layer(), features, train=True), run(layer(), features, train=False)
    )


@pytest.mark.parametrize("scale", [2, fractions.Fraction(2), "2", "4/2"])
def test_scale_may_be_an_int_a_fraction_or_a_string(scale):
    features = normal(0, 1, 3, 4, 2)
    expected = features.repeat(2, axis=1).repeat(2, axis=2)
    np.testing.assert_array_equal(run(NearestUpsample(scale=scale), features), expected)


@pytest.mark.parametrize("layer", CONVOLUTIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_of_a_convolution_are_named_conv(layer, use_bias):
    features = jnp.zeros((1, 4, 4, 3))
    variables = drawn_variables(layer(features=2, use_bias=use_bias), features)
    outputs = 8 if layer is PixelShuffleUpsample else 2
    bias = {"bias": (outputs,)} if use_bias else {}
    expected = {"kernel": (3, 3, 3, outputs)} | bias
    assert jax.tree.map(jnp.shape, variables) == {"params": {"conv": expected}}


@pytest.mark.parametrize("use_bias", [True, False])
def test_parameters_of_a_deconvolution_are_named_deconv(use_bias):
    layer = DeconvUpsample(features=2, use_bias=use_bias)
    variables = drawn_variables(layer, jnp.zeros((1, 4, 4, 3)))
    expected = {"kernel": (3, 3, 3, 2)} | ({"bias": (2,)} if use_bias else {})
    assert jax.tree.map(jnp.shape, variables) == {"params": {"deconv": expected}}


@pytest.mark.parametrize("layer", [*ANY_UPSAMPLERS[:2], *POOLS])
def test_layer_without_weights_has_no_parameters(layer):
    assert layer().init(jax.random.key(0), jnp.zeros((1, 4, 4, 3))) == {}


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, DeconvUpsample])
def test_initializers_reach_the_parameters(layer):
    initialised = layer(
        kernel_init=jax.nn.initializers.constant(2.0),
        bias_init=jax.nn.initializers.constant(3.0),
    ).init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    (params,) = initialised["params"].values()
    assert jnp.all(params["kernel"] == 2)
    assert jnp.all(params["bias"] == 3)


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


@pytest.mark.parametrize("layer", LAYERS)
def test_vmap_is_the_same_as_a_loop(layer):
    features = normal(0, 2, 1, 4, 6, 3)
    variables = drawn_variables(layer(), features[0])
    out = jax.vmap(lambda x: layer().apply(variables, x))(features)
    expected = jnp.stack([layer().apply(variables, x) for x in features])
    # Batched convolutions may sum in another order.
    chex.assert_trees_all_close(out, expected, atol=1e-6)


# Refusals


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(4, 6, 3), (1, 1, 4, 6, 3)])
def test_wrong_rank_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*got shape \("):
        run(layer(), jnp.zeros(shape))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_, jnp.complex64])
def test_dtype_that_is_not_floating_is_refused(layer, dtype):
    message = f"`features` must be floating, got dtype {jnp.dtype(dtype)}"
    with pytest.raises(ValueError, match=message):
        run(layer(), jnp.zeros((1, 4, 6, 3), dtype))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(1, 0, 6, 3), (1, 4, 0, 3), (1, 4, 6, 0)])
def test_map_without_pixels_or_channels_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"`features` must have at least one row.*0"):
        run(layer(), jnp.zeros(shape))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", [2.0, 0.5])
def test_float_scale_is_refused_and_fraction_is_named(layer, scale):
    with pytest.raises(ValueError, match=rf"`scale`.*Fraction.*{scale}"):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("scale", [0, -2])
def test_scale_that_is_not_positive_is_refused(layer, scale):
    with pytest.raises(ValueError, match=rf"`scale`.*{scale}"):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", UPSAMPLERS)
@pytest.mark.parametrize("scale", ["1/2", "2/3"])
def test_upsampler_refuses_a_scale_below_one(layer, scale):
    message = f"`scale` must be at least 1 to up-sample, got {scale}"
    with pytest.raises(ValueError, match=message):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", WHOLE_UPSAMPLERS)
def test_learned_upsampler_refuses_a_scale_that_is_not_whole(layer):
    message = "`scale` must be a whole number for this layer, got 3/2"
    with pytest.raises(ValueError, match=message):
        run(layer(scale="3/2"), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", DOWNSAMPLERS)
@pytest.mark.parametrize("scale", [2, fractions.Fraction(3, 2)])
def test_downsampler_refuses_a_scale_above_one(layer, scale):
    message = f"`scale` must be at most 1 to down-sample, got {scale}"
    with pytest.raises(ValueError, match=message):
        run(layer(scale=scale), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", DOWNSAMPLERS)
def test_downsampler_refuses_a_scale_that_is_not_one_over_n(layer):
    message = "`scale` must be 1/n with a whole n for this layer, got 2/3"
    with pytest.raises(ValueError, match=message):
        run(layer(scale="2/3"), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, DeconvUpsample, *POOLS])
@pytest.mark.parametrize("kernel_size", [0, -1, 3.0, (3, 3)])
def test_kernel_size_that_is_no_positive_int_is_refused(layer, kernel_size):
    with pytest.raises(
        ValueError, match=r"`kernel_size` must be an int of at least 1, got [-0(3]"
    ):
        run(layer(kernel_size=kernel_size), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", CONVOLUTIONS)
def test_convolution_refuses_an_even_window(layer):
    with pytest.raises(ValueError, match="`kernel_size` must be odd, got 4"):
        run(layer(kernel_size=4), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("layer", [*CONVOLUTIONS, DeconvUpsample])
def test_no_output_channel_is_refused(layer):
    with pytest.raises(
        ValueError, match="`features` must be None or at least 1, got 0"
    ):
        run(layer(features=0), jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("padding", [0, 2])
def test_deconvolution_refuses_a_padding_that_misses_the_scaled_size(padding):
    message = rf"`padding` must .* got {padding} with kernel_size 3 and scale 2"
    with pytest.raises(ValueError, match=message):
        run(DeconvUpsample(padding=padding), jnp.zeros((1, 4, 6, 3)))


def test_unknown_divisor_is_refused():
    layer = AveragePoolDownsample(divisor="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r'`divisor` must be "window".*all'):
        run(layer, jnp.zeros((1, 4, 6, 3)))


@pytest.mark.parametrize("resize", [resample.resize_nearest, resample.resize_bilinear])
@pytest.mark.parametrize("size", [(0, 3), (3, -1), (3,)])
def test_resizing_to_nothing_is_refused(resize, size):
    with pytest.raises(ValueError, match=r"`size` must be two numbers.*got \("):
        resize(jnp.zeros((1, 4, 6, 3)), size=size)
