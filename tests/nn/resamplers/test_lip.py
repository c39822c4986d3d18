"""Local importance-based pooling against its authors' code and brute-force loops."""

from fractions import Fraction
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.nn import (
    AveragePoolDownsample,
    LIPDownsample,
    LIPHead,
    LIPTrunk,
    pool_by_importance,
)
from tests.nn.resamplers.layers import apply, drawn_variables, normal, run
from tests.nn.resamplers.loops import windows
from tests.nn.torch_goldens import check_layer, load, nhwc, value_and_gradients


def to_params(golden, prefix):
    kernel = golden[f"{prefix}/logit.conv.weight"].transpose(2, 3, 1, 0)
    scale, bias = (golden[f"{prefix}/logit.bn.{name}"] for name in ("weight", "bias"))
    return {"conv": {"kernel": kernel}, "norm": {"scale": scale, "bias": bias}}


def check_function(name, dtype, tolerance):
    golden = load(name)
    inputs = [jnp.asarray(nhwc(golden[f"input/{i}"]), dtype) for i in range(2)]
    actual = value_and_gradients(pool_by_importance, nhwc(golden["R/0"]), *inputs)
    expected = (
        nhwc(golden["ref64_output/0"]),
        tuple(nhwc(golden[f"ref64_grad_input/{i}"]) for i in range(2)),
    )
    chex.assert_trees_all_close(
        jax.tree.map(np.float64, actual), expected, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", ["lip2d_01", "lip2d_02_odd"])
def test_pooling_by_importance_is_that_of_the_authors_in_float64(name):
    with jax.enable_x64(True):
        check_function(name, jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", ["lip2d_01", "lip2d_02_odd"])
def test_pooling_by_importance_is_that_of_the_authors_in_float32(name):
    # Quotients of sums of nine exponentials, of about 1: ten times their rounding.
    check_function(name, jnp.float32, tolerance=5e-6)


def test_layer_is_that_of_the_authors_in_float64():
    with jax.enable_x64(True):
        check_layer(
            "lip_simplified",
            LIPDownsample(),
            to_params,
            dtype=jnp.float64,
            tolerance=1e-9,
        )


def test_layer_is_that_of_the_authors_in_float32():
    # The gate multiplies the rounding of the norm by 12, and gradients of the kernel,
    # up to 13, sum 160 values: 1e-5 is that rounding.
    check_layer(
        "lip_simplified", LIPDownsample(), to_params, dtype=jnp.float32, tolerance=2e-5
    )


@pytest.mark.parametrize("scale", [1, "1/2", "1/3"])
@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_pooling_is_a_weighted_mean_of_pixels_inside_the_map(kernel_size, size, scale):
    with jax.enable_x64(True):
        features = normal(0, 2, *size, 3).astype(np.float64)
        logits = normal(1, 2, *size, 3).astype(np.float64)
        out = pool_by_importance(features, logits, scale=scale, kernel_size=kernel_size)
        for i, j, taps in windows(features, kernel_size, Fraction(scale)):
            weights = [np.exp(logits[:, y, x]) for _, _, y, x in taps]
            pixels = [features[:, y, x] for _, _, y, x in taps]
            mean = sum(w * x for w, x in zip(weights, pixels, strict=True))
            np.testing.assert_allclose(out[:, i, j], mean / sum(weights), rtol=1e-12)


@pytest.mark.parametrize("shift", [-60, 60])
def test_adding_to_all_logits_changes_nothing(shift):
    features, logits = normal(0, 1, 7, 6, 3), normal(1, 1, 7, 6, 3)
    out = pool_by_importance(features, logits + shift)
    # The sum rounds logits of 60 to 4e-6, and with them the weights.
    expected = pool_by_importance(features, logits)
    np.testing.assert_allclose(out, expected, atol=2e-5)


def test_largest_logit_dominates_the_window():
    features = normal(0, 1, 4, 4, 1)
    logits = np.zeros((1, 4, 4, 1), np.float32)
    logits[:, 2, 3] = 40
    out = pool_by_importance(features, logits)
    np.testing.assert_allclose(out[0, 1, 1], features[0, 2, 3], rtol=1e-6)


@pytest.mark.parametrize("size", [(6, 8), (7, 5), (1, 1)])
def test_layer_starts_as_the_mean_of_pixels_inside_the_map(size):
    features = normal(0, 2, *size, 3)
    out, _ = LIPDownsample().init_with_output(jax.random.key(0), features)
    expected = run(AveragePoolDownsample(divisor="valid"), features)
    # Float32 rounds quotients of sums of nine values of about 1.
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_norm_has_the_statistics_of_each_map_alone():
    features = normal(0, 3, 6, 8, 4)
    alone = [run(LIPDownsample(), features[i : i + 1]) for i in range(3)]
    # Batched convolutions may sum in another order; the gate multiplies that by 12.
    np.testing.assert_allclose(
        run(LIPDownsample(), features), np.concatenate(alone), atol=1e-5
    )


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
def test_gradients_match_differences(size):
    with jax.enable_x64(True):
        layer = LIPDownsample(param_dtype=jnp.float64)
        features = jnp.asarray(normal(0, 1, *size, 2), jnp.float64)
        variables = drawn_variables(layer, features)
        check_grads(layer.apply, (variables, features), order=1, modes=("rev",))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("value", [0, 1, 1e4])
def test_gradients_on_a_flat_odd_map_are_finite(value, dtype):
    layer = LIPDownsample()
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
    logits = jnp.asarray(4 * normal(1, 2, *size, 3), jnp.bfloat16)
    exact = pool_by_importance(
        features.astype(jnp.float32), logits.astype(jnp.float32)
    ).astype(jnp.bfloat16)
    np.testing.assert_array_equal(pool_by_importance(features, logits), exact)


def test_float32_logits_of_a_bfloat16_map_are_not_rounded():
    features = jnp.asarray(normal(0, 2, 6, 8, 3), jnp.bfloat16)
    logits = 4 * normal(1, 2, 6, 8, 3)
    out = pool_by_importance(features, logits)
    assert out.dtype == jnp.bfloat16
    exact = pool_by_importance(features.astype(jnp.float32), logits)
    np.testing.assert_array_equal(out, exact.astype(jnp.bfloat16))


def test_logits_of_a_bfloat16_map_are_float32():
    features = jnp.asarray(normal(0, 1, 8, 8, 3), jnp.bfloat16)
    # This kernel copies the map, exactly in bfloat16 too.
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[1, 1] = np.eye(3)
    scale, bias = np.full(3, 0.9, np.float32), np.full(3, 0.3, np.float32)
    params = {"conv": {"kernel": kernel}, "norm": {"scale": scale, "bias": bias}}
    wide = features.astype(jnp.float32)
    exact = apply(LIPDownsample(), params, wide).astype(jnp.bfloat16)
    np.testing.assert_array_equal(apply(LIPDownsample(), params, features), exact)


def test_parameters_are_named_conv_and_norm():
    variables = drawn_variables(LIPDownsample(), jnp.zeros((1, 4, 4, 3)))
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {
            "conv": {"kernel": (3, 3, 3, 3)},
            "norm": {"scale": (3,), "bias": (3,)},
        }
    }


def test_head_with_a_trunk_is_pooling_by_gated_logits():
    features, trunk = normal(0, 2, 5, 6, 3), normal(1, 2, 5, 6, 4)
    kernel, scale, bias = normal(2, 1, 1, 4, 3), normal(3, 3), normal(4, 3)
    params = {"conv": {"kernel": kernel}, "norm": {"scale": scale, "bias": bias}}
    out: Any = LIPHead().apply({"params": params}, features, trunk)
    x = trunk @ kernel[0, 0]
    mean, variance = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-5) * scale + bias
    expected = pool_by_importance(features, 12 / (1 + np.exp(-x)))
    # Logits of up to 12 are rounded to 1e-6, and with them the weights.
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_trunk_keeps_size_and_dtype(dtype):
    trunk = jax.eval_shape(
        lambda features: run(LIPTrunk(features=8), features),
        jax.ShapeDtypeStruct((2, 5, 7, 3), dtype),
    )
    assert (trunk.shape, trunk.dtype) == ((2, 5, 7, 8), dtype)


# Refusals


@pytest.mark.parametrize("shape", [(1, 4, 6, 1), (1, 4, 5, 3), (4, 6, 3)])
def test_logits_of_another_shape_are_refused(shape):
    message = r"`logits` must have the shape of `features`, \(1, 4, 6, 3\), got \("
    with pytest.raises(ValueError, match=message):
        pool_by_importance(jnp.zeros((1, 4, 6, 3)), jnp.zeros(shape))


def test_logits_that_are_not_floating_are_refused():
    features = jnp.zeros((1, 4, 6, 3))
    with pytest.raises(ValueError, match="`logits` must be floating, got dtype int32"):
        pool_by_importance(features, jnp.zeros(features.shape, jnp.int32))


@pytest.mark.parametrize("shape", [(1, 4, 5, 8), (2, 4, 6, 8), (4, 6, 8)])
def test_trunk_of_another_size_is_refused(shape):
    message = r"`trunk` must have the shape of `features` but for its channels.*got \("
    with pytest.raises(ValueError, match=message):
        LIPHead().init(jax.random.key(0), jnp.zeros((1, 4, 6, 3)), jnp.zeros(shape))
