"""CARAFE++ on maps with holes: a loop over the formula, and the effect of holes."""

import functools
import math
from fractions import Fraction
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas.backend import BACKENDS
from flax import linen as nn
from jax.test_util import check_grads

from carafe_jax import ops
from carafe_jax.nn import CARAFE, CARAFEUpsample, Masked, PartialCARAFE
from carafe_jax.nn._validity import mask_logits
from tests.nn.partial.holes import (
    apply,
    drawn_variables,
    hole_count,
    normal,
    random_masked,
    random_valid,
)

small = functools.partial(CARAFE, kernel_size=3, compressed_channels=4)


def partial(**fields):
    return PartialCARAFE(functools.partial(small, **fields))


WEIGHTS = {
    "softmax": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "normalized_sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def encode(features, params, stride):
    """Predict logits in float64; the encoder's window is 3 x 3."""
    compressor, encoder = params["channel_compressor"], params["content_encoder"]
    x = features @ np.float64(compressor["kernel"][0, 0]) + compressor["bias"]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = (range(0, size - 2, stride) for size in x.shape[1:3])
    kernel = np.float64(encoder["kernel"])
    logits = [
        [np.tensordot(x[:, i : i + 3, j : j + 3], kernel, axes=3) for j in columns]
        for i in rows
    ]
    return np.moveaxis(np.array(logits), 2, 0) + encoder["bias"]


def carafe_loop(masked, params, *, scale, groups=1, normalizer="softmax"):
    """Sum each window of 3 x 3 pixels by the formula, in float64."""
    valid = np.asarray(masked.valid[..., 0], bool)
    features = np.where(valid[..., None], np.float64(masked.features), 0)
    ratio = Fraction(scale)
    up, down = ratio.numerator, ratio.denominator
    n, height, width, channels = features.shape
    logits = encode(features, params, down)
    logits = logits.reshape(*logits.shape[:3], up, up, groups, 3, 3)
    weights = WEIGHTS[normalizer](logits)
    size = math.ceil(height * ratio), math.ceil(width * ratio)
    out = np.zeros((n, *size, groups, channels // groups))
    new_valid = np.zeros((n, *size, 1))
    features = features.reshape(n, height, width, groups, -1)
    for example, i, j, group in np.ndindex(n, *size, groups):
        kernel = weights[example, i // up, j // up, i % up, j % up, group]
        total = 0
        for a, b in np.ndindex(3, 3):
            y, x = i * down // up + a - 1, j * down // up + b - 1
            if 0 <= y < height and 0 <= x < width and valid[example, y, x]:
                out[example, i, j, group] += (
                    kernel[a, b] * features[example, y, x, group]
                )
                total += kernel[a, b]
                new_valid[example, i, j] = 1
        if total:
            out[example, i, j, group] /= total
    return out.reshape(n, *size, channels), new_valid


def check_loop(masked, **fields):
    layer = partial(**fields)
    variables = drawn_variables(layer, masked)
    out = apply(layer, variables, masked)
    expected = carafe_loop(masked, variables["params"]["carafe"], **fields)
    # Float32 means of nine values of about 1, with weights from float32 logits.
    actual = np.float64(out.features), np.float64(out.valid)
    chex.assert_trees_all_close(actual, expected, atol=2e-5)


@pytest.mark.parametrize("scale", [2, "1/2", "3/2", "2/3", "1/3"])
@pytest.mark.parametrize("size", [(7, 9), (8, 6)])
def test_layer_matches_a_loop(scale, size):
    check_loop(random_masked(0, 2, *size, 4), scale=scale)


@pytest.mark.parametrize("normalizer", WEIGHTS)
@pytest.mark.parametrize("scale", [2, "1/2"])
def test_every_normaliser_matches_a_loop(normalizer, scale):
    masked = random_masked(0, 1, 7, 8, 6)
    check_loop(masked, scale=scale, normalizer=normalizer, groups=2)


def test_map_of_one_pixel_matches_a_loop():
    masked = Masked(jnp.asarray(normal(0, 2, 1, 1, 4)), jnp.ones((2, 1, 1, 1)))
    check_loop(masked, scale=2)


def test_gradients_match_finite_differences():
    with jax.enable_x64(True):
        masked = random_masked(0, 1, 6, 5, 2)
        masked = jax.tree.map(lambda x: x.astype(jnp.float64), masked)
        layer = PartialCARAFE(
            functools.partial(small, scale="1/2", normalizer="normalized_sigmoid"),
            param_dtype=np.float64,
        )
        variables: Any = drawn_variables(layer, masked)

        @jax.jit
        def run(variables, features):
            out: Any = layer.apply(variables, Masked(features, masked.valid))
            return out.features

        check_grads(run, (variables, masked.features), order=1, modes=("rev",))


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=[] if name == "triton" else pytest.mark.slow)
        for name in BACKENDS
    ],
)
def test_launches_of_every_backend_agree_with_plain_jax(backend):
    masked = random_masked(0, 1, 6, 6, 8)

    def value_and_gradients(implementation):
        layer = partial(
            scale="1/2",
            normalizer="normalized_sigmoid",
            implementation=implementation,
        )
        variables = drawn_variables(layer, masked)

        def run(variables, features) -> Any:
            return layer.apply(variables, Masked(features, masked.valid))

        @jax.jit
        def derive(variables, features):
            out, pullback = jax.vjp(run, variables, features)
            return out, pullback(jax.tree.map(jnp.sin, out))

        return derive(variables, masked.features)

    expected = value_and_gradients("xla")
    with ops.interpret_kernels():
        actual = value_and_gradients(backend)
    # Float32 sums of up to 12 pixels' products of about 1.
    chex.assert_trees_all_close(actual, expected, atol=1e-4)


# Holes


def test_new_validity_is_that_of_any_pixel_in_the_default_window():
    valid = np.zeros((1, 12, 9, 1), np.float32)
    valid[0, 5, 4] = 1
    masked = Masked(jnp.ones((1, 12, 9, 2)), jnp.asarray(valid))
    layer = PartialCARAFE()
    out = apply(layer, drawn_variables(layer, masked), masked)
    # Windows of 5 x 5 around the pixels (2 i, 2 j).
    expected = np.zeros((1, 6, 5, 1))
    expected[0, 2:4, 1:4] = 1
    np.testing.assert_array_equal(out.valid, expected)
    # A mean of one valid pixel is that pixel.
    np.testing.assert_allclose(out.features, np.tile(expected, 2), atol=1e-6)


@pytest.mark.parametrize("scale", [2, "1/2"])
def test_window_without_a_valid_pixel_is_exactly_zero(scale):
    masked = random_masked(0, 1, 8, 8, 4)
    layer = partial(scale=scale)
    out = apply(layer, drawn_variables(layer, masked), masked)
    hole = np.broadcast_to(out.valid == 0, out.features.shape)
    assert np.any(hole)
    assert np.all(np.asarray(out.features)[hole] == 0)


@pytest.mark.parametrize("normalizer", WEIGHTS)
def test_constant_map_stays_constant_in_and_around_holes(normalizer):
    masked = random_masked(0, 1, 8, 7, 4)
    masked = Masked(jnp.full_like(masked.features, 3), masked.valid)
    layer = partial(scale=2, normalizer=normalizer)
    out = apply(layer, drawn_variables(layer, masked, spread=2), masked)
    # Nine float32 weights that sum to one.
    expected = jnp.broadcast_to(3 * out.valid, out.features.shape)
    chex.assert_trees_all_close(out.features, expected, rtol=1e-6)


@pytest.mark.parametrize("filling", [1e6, np.nan, np.inf])
def test_values_in_a_hole_have_no_effect(filling):
    layer = partial(scale="3/2")
    masked = random_masked(0, 1, 7, 6, 4)
    variables = drawn_variables(layer, masked)
    filled = jnp.where(masked.valid == 0, filling, masked.features)

    @jax.jit
    def run(features):
        def total(features):
            out: Any = layer.apply(variables, Masked(features, masked.valid))
            return jnp.sum(jnp.sin(out.features)), out

        return jax.grad(total, has_aux=True)(features)

    gradient, out = run(filled)
    chex.assert_trees_all_equal((gradient, out), run(masked.features))
    assert not np.any(np.asarray(gradient * (1 - masked.valid)))


def test_no_gradient_flows_through_validity():
    layer = partial(scale=2)
    masked = random_masked(0, 1, 5, 6, 4)
    variables = drawn_variables(layer, masked)

    def total(valid):
        out: Any = layer.apply(variables, Masked(masked.features, valid))
        return jnp.sum(out.features) + jnp.sum(out.valid)

    assert not np.any(jax.jit(jax.grad(total))(masked.valid))


def test_fraction_of_holes_only_shrinks():
    masked = random_masked(0, 1, 16, 14, 4)
    shares = [hole_count(masked) / masked.valid.size]
    for scale in (1, "1/2", 2, 1):
        layer = partial(scale=scale)
        out = apply(layer, drawn_variables(layer, masked), masked)
        masked = out
        shares.append(hole_count(masked) / masked.valid.size)
    assert shares[0] > shares[1]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("scale", [2, "1/2", "3/2"])
@pytest.mark.parametrize("normalizer", ["softmax", "normalized_sigmoid"])
def test_full_map_stays_full_and_is_that_of_carafe_away_from_the_border(
    scale, normalizer
):
    features = jnp.asarray(normal(0, 1, 10, 9, 4))
    layer = partial(scale=scale, normalizer=normalizer)
    masked = Masked(features, jnp.ones((1, 10, 9, 1)))
    variables = drawn_variables(layer, masked)
    out = apply(layer, variables, masked)
    assert np.all(out.valid == 1)
    plain = small(scale=scale, normalizer=normalizer)
    expected: Any = plain.apply({"params": variables["params"]["carafe"]}, features)
    edge = math.ceil(Fraction(scale))
    inside = np.s_[:, edge:-edge, edge:-edge]
    # The same kernels up to roundings of float32.
    chex.assert_trees_all_close(out.features[inside], expected[inside], atol=1e-6)


# Parameters and dtypes


def test_parameters_are_those_of_the_plain_layer():
    masked = random_masked(0, 1, 4, 4, 6)
    layer = PartialCARAFE(CARAFEUpsample, param_dtype=jnp.bfloat16)
    plain = CARAFEUpsample(param_dtype=jnp.bfloat16)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        drawn_variables(layer, masked)["params"]["carafe"],
        drawn_variables(plain, masked.features)["params"],
    )


def test_norm_of_the_layer_learns_its_statistics_in_training():
    layer = partial(norm=nn.BatchNorm)
    masked = random_masked(0, 1, 4, 5, 6)
    variables: Any = drawn_variables(layer, masked)
    before = variables["batch_stats"]["carafe"]["compressor_norm"]
    _, state = layer.apply(variables, masked, train=True, mutable="batch_stats")
    after: Any = state["batch_stats"]["carafe"]["compressor_norm"]
    assert np.all(after["mean"] != before["mean"])


@pytest.mark.parametrize("normalizer", WEIGHTS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_finite_and_near_float32(dtype, normalizer):
    layer = partial(scale="1/2", normalizer=normalizer)
    masked = random_masked(0, 1, 9, 8, 8)
    masked = jax.tree.map(lambda x: x.astype(dtype), masked)
    variables = drawn_variables(layer, masked, spread=0.2)

    @jax.jit
    def run(masked):
        def total(variables, features):
            out: Any = layer.apply(variables, Masked(features, masked.valid))
            return out.features.astype(jnp.float32).sum(), out

        return jax.grad(total, argnums=(0, 1), has_aux=True)(variables, masked.features)

    gradients, out = run(masked)
    assert out.features.dtype == out.valid.dtype == dtype
    chex.assert_tree_all_finite((gradients, out))
    _, expected = run(jax.tree.map(lambda x: x.astype(jnp.float32), masked))
    # Eight bits for the logits, the kernels and the output, of about 1.
    chex.assert_trees_all_close(
        jax.tree.map(lambda x: x.astype(jnp.float32), out), expected, atol=0.05
    )


def test_sown_kernels_are_zero_in_holes_and_sum_to_one():
    masked = random_masked(0, 1, 7, 6, 4)
    layer = small(scale=1, normalizer="sigmoid")
    params = drawn_variables(layer, masked.features)["params"]
    state: Any
    out, state = layer.apply(
        {"params": params}, masked.features, valid=masked.valid, mutable="intermediates"
    )
    del out
    (kernels,) = state["intermediates"]["kernels"]
    padded = np.pad(masked.valid[0, ..., 0], 1)
    taps = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(7, 6, 9)
    any_valid = taps.any(-1)
    kernels = np.asarray(kernels[0, :, :, 0])
    assert np.all((kernels > 0)[any_valid] == (taps > 0)[any_valid])
    # Nine float32 weights.
    np.testing.assert_allclose(kernels.sum(-1), 1, rtol=1e-6)


def test_empty_batch_gives_an_empty_batch():
    masked = Masked(jnp.zeros((0, 5, 6, 2)), jnp.zeros((0, 5, 6, 1)))
    layer = partial(scale=2)
    out = apply(layer, drawn_variables(layer, masked), masked)
    assert (out.features.shape, out.valid.shape) == ((0, 10, 12, 2), (0, 10, 12, 1))


# Refusals


def test_validity_of_each_channel_is_refused():
    masked = Masked(jnp.zeros((1, 4, 6, 2)), jnp.asarray(random_valid(0, 1, 4, 6, 2)))
    message = r"`valid` must have shape \(1, 4, 6, 1\), as.*got \(1, 4, 6, 2\)"
    with pytest.raises(ValueError, match=message):
        PartialCARAFE().init(jax.random.key(0), masked)


def test_validity_that_is_not_floating_is_refused():
    features, valid = jnp.zeros((1, 4, 6, 2)), jnp.zeros((1, 4, 6, 1), int)
    with pytest.raises(ValueError, match=r"`valid` must be floating.*got dtype int"):
        CARAFE().init(jax.random.key(0), features, valid=valid)


def test_features_that_are_no_map_are_refused():
    masked = Masked(jnp.zeros((4, 6, 2)), jnp.zeros((4, 6, 1)))
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*\(4, 6, 2\)"):
        PartialCARAFE().init(jax.random.key(0), masked)


# Logits of any size


def masked_kernels(logits, valid, normalizer):
    """Return kernels and the gradient of a sum of theirs, of one anchor of 3 x 3."""
    fields = {"scale": 1, "kernel_size": 3}

    @jax.jit
    def run(logits):
        def total(logits):
            masked = mask_logits(logits, valid, **fields)
            kernels = ops.kernels_of_logits(
                masked, size=valid.shape[1:3], normalizer=normalizer, **fields
            )
            return jnp.sum(jnp.arange(9) * kernels.astype(jnp.float32)), kernels

        return jax.grad(total, has_aux=True)(logits)

    gradient, kernels = run(logits)
    middle = np.s_[0, 1, 1]
    return np.float64(kernels[middle]).ravel(), np.float64(gradient[middle])


def expected_kernels(logits, valid, normalizer):
    """Normalise over the valid taps alone, in float64 and by logarithms."""
    logits = np.asarray(logits, np.float64)
    logs = logits if normalizer == "softmax" else -np.logaddexp(0, -logits)
    weights = np.exp(np.where(valid, logs - logs[valid].max(), -np.inf))
    kernels = weights / weights.sum()
    taps = np.arange(9)
    gradient = kernels * (taps - kernels @ taps)
    if normalizer == "normalized_sigmoid":
        gradient = gradient * np.exp(-np.logaddexp(0, logits))
    return kernels, gradient


@pytest.mark.parametrize("normalizer", ["softmax", "normalized_sigmoid"])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize(
    "level", [-6e4, -4e4, -3e4, -2e4, -8200, -8190, -500, 0, 500, 3e4, 6e4]
)
def test_logits_of_any_level_give_the_kernels_of_the_valid_taps(
    level, dtype, normalizer
):
    # Those in the hole are at the other end; the steps are those of the dtype.
    step = np.spacing(np.abs(np.float32(level))) * 2.0 ** (23 - jnp.finfo(dtype).nmant)
    steps = np.array([0, 1, 0, 2, 5, 1, 3, 0, 2]) * max(step, 0.5)
    logits = np.asarray(jnp.asarray(level - steps, dtype))
    hole = np.array([0, 1, 0, 0, 0, 0, 1, 0, 0], bool)
    logits = np.where(hole, np.asarray(-level, dtype), logits)
    valid = ~hole
    every = np.zeros((1, 3, 3, 9), dtype)
    every[0, 1, 1] = logits
    found = masked_kernels(
        jnp.asarray(every), jnp.asarray(valid.reshape(1, 3, 3, 1), dtype), normalizer
    )
    want = expected_kernels(logits, valid, normalizer)
    # A kernel and its gradient are rounded once; sums of nine, times up to eight.
    atol = 16 * float(jnp.finfo(dtype).eps)
    for got, right in zip(found, want, strict=True):
        np.testing.assert_allclose(got, right, rtol=0, atol=atol)
    assert np.all(found[0][hole] == 0)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("extreme", [-1, 1])
def test_logits_at_the_end_of_their_dtype_stay_finite(dtype, extreme):
    largest = jnp.asarray(extreme * float(jnp.finfo(dtype).max), dtype)
    logits = jnp.full((1, 3, 3, 9), largest)
    valid = np.ones((1, 3, 3, 1), np.float32)
    valid[0, 0] = 0
    kernels, gradient = masked_kernels(logits, jnp.asarray(valid, dtype), "softmax")
    np.testing.assert_allclose(
        kernels, np.repeat([0, 1 / 6], [3, 6]), atol=float(jnp.finfo(dtype).eps)
    )
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("level", [-1e38, -3e4, 0, 3e4, 1e38])
def test_a_window_of_holes_has_finite_weights_and_no_gradient(level):
    logits = jnp.full((1, 3, 3, 9), level, jnp.float32)
    kernels, gradient = masked_kernels(logits, jnp.zeros((1, 3, 3, 1)), "softmax")
    np.testing.assert_allclose(kernels, 1 / 9, rtol=1e-6)
    assert np.all(gradient == 0)


@pytest.mark.parametrize("bias", [-1e6, -3.5e4, 3.5e4])
def test_a_bias_of_all_logits_changes_no_output(bias):
    masked = random_masked(0, 1, 7, 8, 4)
    layer = partial(scale="1/2")
    variables = drawn_variables(layer, masked, spread=2)
    encoder = variables["params"]["carafe"]["content_encoder"]
    # Whole numbers, so that a large bias rounds no difference away.
    encoder = jax.tree.map(np.round, encoder)
    encoder["kernel"] = np.zeros_like(encoder["kernel"])
    variables["params"]["carafe"]["content_encoder"] = encoder
    expected = apply(layer, variables, masked)
    encoder["bias"] = encoder["bias"] + np.float32(bias)
    # Float32 means of nine values of about 1.
    chex.assert_trees_all_close(apply(layer, variables, masked), expected, atol=1e-5)
