"""Partial convolution: its authors' results, a loop, and the effect of holes."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.nn import Masked, PartialConv
from tests.nn.partial.holes import (
    apply,
    drawn_variables,
    hole_count,
    normal,
    random_masked,
)
from tests.nn.torch_goldens import load, nhwc

GOLDEN_LAYERS = {
    "pconv_nv_single": PartialConv(6),
    "pconv_nv_multi_s2": PartialConv(5, kernel_size=7, stride=2),
    "pconv_nv_dil2": PartialConv(3, dilation=2),
    "pconv_nv_nobias_s2_odd": PartialConv(4, kernel_size=5, stride=2, use_bias=False),
    "pconv_mmedit_multi": PartialConv(4, stride=2),
    "pconv_nv_nomask_padding": PartialConv(4),
}


def golden_params(golden, prefix):
    params = {"kernel": golden[f"{prefix}/weight"].transpose(2, 3, 1, 0)}
    if f"{prefix}/bias" in golden:
        params["bias"] = golden[f"{prefix}/bias"]
    return params


def golden_valid(golden):
    if "input/1" in golden:
        return nhwc(golden["input/1"])
    return np.ones_like(nhwc(golden["input/0"])[..., :1])


def check_golden(name, dtype, tolerance):
    golden, layer = load(name), GOLDEN_LAYERS[name]
    params, features, valid, cotangent = jax.tree.map(
        lambda x: jnp.asarray(x, dtype),
        (
            golden_params(golden, "state_dict"),
            nhwc(golden["input/0"]),
            golden_valid(golden),
            nhwc(golden["R/0"]),
        ),
    )

    @jax.jit
    def value_and_gradients(params, features, cotangent):
        def run(params, features) -> Any:
            return layer.apply({"params": params}, Masked(features, valid))

        out, pullback = jax.vjp(run, params, features)
        return out, pullback(Masked(cotangent, jnp.zeros_like(out.valid)))

    out, gradients = value_and_gradients(params, features, cotangent)
    expected_valid = nhwc(golden["ref64_output/1"])
    np.testing.assert_array_equal(
        np.broadcast_to(out.valid, expected_valid.shape), expected_valid
    )
    expected = (
        nhwc(golden["ref64_output/0"]),
        (
            golden_params(golden, "ref64_grad_param"),
            nhwc(golden["ref64_grad_input/0"]),
        ),
    )
    actual = (out.features, gradients)
    chex.assert_trees_all_equal_structs(actual, expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == dtype
        # Relative to the largest value: sums of some hundred products cancel.
        atol = tolerance * np.max(np.abs(y))
        np.testing.assert_allclose(np.float64(x), y, rtol=0, atol=atol)


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_output_validity_and_gradients_are_those_of_the_authors_in_float64(name):
    with jax.enable_x64(True):
        check_golden(name, jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", ["pconv_nv_single", "pconv_mmedit_multi"])
def test_output_validity_and_gradients_are_those_of_the_authors_in_float32(name):
    # Ten times the largest error of the authors' code in float32.
    check_golden(name, jnp.float32, tolerance=1e-5)


def conv_loop(masked, params, *, stride, dilation, pad):
    """Convolve window by window in float64, by the formula."""
    features, valid = (np.float64(x) for x in masked)
    padding = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    features, valid = np.pad(features, padding), np.pad(valid, padding)
    kernel = np.asarray(params["kernel"], np.float64)
    reach = dilation * (len(kernel) - 1) + 1
    n, height, width, _ = features.shape
    rows, columns = (
        range(0, height - reach + 1, stride),
        range(0, width - reach + 1, stride),
    )
    out = np.zeros((n, len(rows), len(columns), kernel.shape[-1]))
    new_valid = np.zeros((*out.shape[:3], 1))
    for example, i, j in np.ndindex(out.shape[:3]):
        window = np.s_[
            example,
            rows[i] : rows[i] + reach : dilation,
            columns[j] : columns[j] + reach : dilation,
        ]
        m = valid[window]
        if m.sum() == 0:
            continue
        total = np.tensordot(features[window] * m, kernel, axes=3)
        out[example, i, j] = total * m.size / m.sum() + params["bias"]
        new_valid[example, i, j] = 1
    return out, new_valid


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "dilation", "padding"),
    [
        ((9, 7), 5, 2, 1, None),
        ((8, 9), 3, 3, 2, None),
        ((7, 8), 3, 1, 1, 0),
        ((1, 1), 3, 1, 1, None),
        ((6, 6), 1, 2, 1, None),
    ],
)
def test_layer_matches_a_loop(size, kernel_size, stride, dilation, padding):
    layer = PartialConv(3, kernel_size, stride, dilation, padding)
    masked = random_masked(0, 2, *size, 4)
    variables = drawn_variables(layer, masked)
    out = apply(layer, variables, masked)
    pad = dilation * (kernel_size // 2) if padding is None else padding
    expected = conv_loop(
        masked, variables["params"], stride=stride, dilation=dilation, pad=pad
    )
    # Float32 sums of a hundred products, times the window's size.
    actual = np.float64(out.features), np.float64(out.valid)
    chex.assert_trees_all_close(actual, expected, atol=1e-4)


# Holes


def test_validity_of_each_channel_counts_by_itself():
    features = jnp.ones((1, 1, 1, 2))
    layer = PartialConv(1, 1, use_bias=False)
    kernel = jnp.asarray([3.0, 5.0]).reshape(1, 1, 2, 1)
    masked = Masked(features, jnp.asarray([1.0, 0.0]).reshape(1, 1, 1, 2))
    out: Any = layer.apply({"params": {"kernel": kernel}}, masked)
    # One of two values is valid, so it counts twice.
    assert out.features.item() == 6
    assert out.valid.shape == (1, 1, 1, 1)


def test_window_without_a_valid_pixel_is_exactly_zero_and_stays_a_hole():
    layer = PartialConv(3)
    masked = random_masked(0, 1, 8, 8, 4)
    variables = drawn_variables(layer, masked)
    assert np.all(variables["params"]["bias"] != 0)
    out = apply(layer, variables, masked)
    hole = np.broadcast_to(out.valid == 0, out.features.shape)
    assert np.any(hole)
    assert np.all(np.asarray(out.features)[hole] == 0)
    assert np.all(np.asarray(out.features)[~hole] != 0)


@pytest.mark.parametrize("filling", [1e6, np.nan, np.inf])
def test_values_in_a_hole_have_no_effect(filling):
    layer = PartialConv(3, stride=2)
    masked = random_masked(0, 1, 7, 6, 4)
    variables = drawn_variables(layer, masked)
    filled = Masked(
        jnp.where(masked.valid == 0, filling, masked.features), masked.valid
    )

    def total(features):
        out: Any = layer.apply(variables, Masked(features, masked.valid))
        return jnp.sum(jnp.sin(out.features))

    expected = apply(layer, variables, masked)
    chex.assert_trees_all_equal(apply(layer, variables, filled), expected)
    gradient = jax.grad(total)(filled.features)
    chex.assert_trees_all_equal(gradient, jax.grad(total)(masked.features))
    assert not np.any(np.asarray(gradient * (1 - masked.valid)))


def test_no_gradient_flows_through_validity():
    layer = PartialConv(3)
    masked = random_masked(0, 1, 6, 6, 4)
    variables = drawn_variables(layer, masked)

    def total(valid):
        out: Any = layer.apply(variables, Masked(masked.features, valid))
        return jnp.sum(out.features) + jnp.sum(out.valid)

    assert not np.any(jax.grad(total)(masked.valid))


def test_holes_only_shrink():
    masked = random_masked(0, 2, 12, 11, 3)
    counts = [hole_count(masked)]
    for _ in range(4):
        layer = PartialConv(3)
        out = apply(layer, drawn_variables(layer, masked), masked)
        assert np.all(out.valid >= masked.valid)
        masked = out
        counts.append(hole_count(masked))
    assert counts[0] > counts[1]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 0


@pytest.mark.parametrize("channels", [1, 4])
def test_full_map_stays_full_and_is_convolved_as_usual_away_from_the_border(channels):
    layer = PartialConv(3, stride=2, dilation=2)
    masked = Masked(jnp.asarray(normal(0, 1, 9, 11, 4)), jnp.ones((1, 9, 11, channels)))
    variables = drawn_variables(layer, masked)
    out = apply(layer, variables, masked)
    assert np.all(out.valid == 1)
    plain = nn.Conv(3, (3, 3), strides=2, padding=2, kernel_dilation=2)
    expected: Any = plain.apply(variables, masked.features)
    inside = np.s_[:, 1:-1, 1:-1]
    # The factor is 1 up to a rounding of float32.
    chex.assert_trees_all_close(out.features[inside], expected[inside], atol=1e-5)


# Dtypes and transformations


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_finite_and_near_float32(dtype):
    layer = PartialConv(8, kernel_size=7)
    masked = random_masked(0, 1, 9, 9, 32)
    masked = jax.tree.map(lambda x: x.astype(dtype), masked)
    variables = drawn_variables(layer, masked, spread=0.05)
    out = apply(layer, variables, masked)
    assert out.features.dtype == out.valid.dtype == dtype
    expected: Any = layer.apply(
        variables, jax.tree.map(lambda x: x.astype(jnp.float32), masked)
    )
    chex.assert_trees_all_equal(out.valid.astype(jnp.float32), expected.valid)
    # Eight bits for the operands and the sum.
    scale = np.max(np.abs(expected.features))
    chex.assert_trees_all_close(
        out.features.astype(jnp.float32), expected.features, atol=0.02 * scale
    )


def test_dtype_and_param_dtype_set_those_of_output_and_parameters():
    layer = PartialConv(3, dtype=jnp.bfloat16, param_dtype=jnp.float16)
    masked = random_masked(0, 1, 4, 4, 2)
    variables = drawn_variables(layer, masked)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float16")}
    out = apply(layer, variables, masked)
    assert (out.features.dtype, out.valid.dtype) == (jnp.bfloat16, jnp.float32)


def test_parameters_and_their_initial_values_are_those_of_a_plain_convolution():
    masked = random_masked(0, 1, 4, 4, 2)
    key = jax.random.key(3)
    chex.assert_trees_all_equal_shapes_and_dtypes(
        PartialConv(5).init(key, masked), nn.Conv(5, (3, 3)).init(key, masked.features)
    )
    layer = PartialConv(5, bias_init=nn.initializers.ones)
    params: Any = layer.init(key, masked)["params"]
    assert np.all(params["bias"] == 1)
    # 90 values of variance 1 / 18: five standard errors.
    assert abs(18 * np.var(params["kernel"]) - 1) < 5 * np.sqrt(2 / 90)


def test_empty_batch_gives_an_empty_batch():
    masked = Masked(jnp.zeros((0, 5, 6, 2)), jnp.zeros((0, 5, 6, 1)))
    layer = PartialConv(3)
    out = apply(layer, drawn_variables(layer, masked), masked)
    assert (out.features.shape, out.valid.shape) == ((0, 5, 6, 3), (0, 5, 6, 1))


# Refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": 0}, "`features` must be a positive int, got 0"),
        ({"kernel_size": 4}, "`kernel_size` must be a positive odd int, got 4"),
        ({"kernel_size": 3.0}, "`kernel_size` must be a positive odd int, got 3.0"),
        ({"stride": 0}, "`stride` must be a positive int, got 0"),
        ({"dilation": True}, "`dilation` must be a positive int, got True"),
        ({"padding": -1}, "`padding` must be None or an int of at least 0, got -1"),
        ({"padding": "SAME"}, "`padding` must be None or an int.*got 'SAME'"),
    ],
)
def test_fields_that_break_a_rule_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        PartialConv(**{"features": 3, **fields})


@pytest.mark.parametrize("shape", [(1, 4, 6, 3), (1, 4, 5, 1), (2, 4, 6, 1), (4, 6, 1)])
def test_validity_of_another_shape_is_refused(shape):
    masked = Masked(jnp.zeros((1, 4, 6, 2)), jnp.zeros(shape))
    message = r"`valid` must have shape \(1, 4, 6, 1\) or \(1, 4, 6, 2\).*got \("
    with pytest.raises(ValueError, match=message):
        PartialConv(3).init(jax.random.key(0), masked)


def test_validity_that_is_not_floating_is_refused():
    masked: Any = Masked(jnp.zeros((1, 4, 6, 2)), jnp.zeros((1, 4, 6, 1), bool))
    with pytest.raises(ValueError, match=r"`valid` must be floating.*got dtype bool"):
        PartialConv(3).init(jax.random.key(0), masked)


def test_features_that_are_no_map_are_refused():
    masked = Masked(jnp.zeros((4, 6, 2)), jnp.zeros((4, 6, 1)))
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*\(4, 6, 2\)"):
        PartialConv(3).init(jax.random.key(0), masked)
