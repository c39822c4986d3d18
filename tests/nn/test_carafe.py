"""CARAFE layers: predicted kernels, and maps reassembled with them."""

import functools
import math
import pathlib
from fractions import Fraction
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from jax.test_util import check_grads

from carafe_jax import CARAFE, CARAFEDownsample, CARAFEUpsample
from carafe_jax.interop import mmcv_carafe_to_flax
from carafe_jax.nn.crop import crop
from tests.ops.reassembly import oracle

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
LAYERS = [CARAFE, CARAFEUpsample, CARAFEDownsample]
NORMALIZERS = ["softmax", "sigmoid", "normalized_sigmoid"]
FEATURES = jnp.zeros((1, 4, 6, 8))
BATCH_NORM = functools.partial(nn.BatchNorm, momentum=0.5)

small = functools.partial(CARAFE, kernel_size=3, compressed_channels=4)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_params(layer, features, spread=0.5):
    """Draw parameters with NumPy: compiling initializers takes longer than a test."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), features)["params"]
    return jax.tree.map(
        lambda x: (spread * normal(x.size, *x.shape)).astype(x.dtype), shapes
    )


def run(layer: nn.Module, features, **kwargs) -> Any:
    return layer.apply({"params": drawn_params(layer, features)}, features, **kwargs)


def apply(layer: nn.Module, params, features) -> Any:
    return layer.apply({"params": params}, features)


def predict(layer: nn.Module, params, features) -> Any:
    """Return the output and the kernels of a layer."""
    out, state = layer.apply({"params": params}, features, mutable="intermediates")
    (kernels,) = state["intermediates"]["kernels"]  # pyright: ignore
    return out, kernels


def predict_kernels(layer: nn.Module, params, features) -> Any:
    """Return the kernels alone, so that the reassembly is not compiled."""
    return jax.jit(lambda params, x: predict(layer, params, x)[1])(params, features)


def with_encoder_bias(layer, features, bias):
    """Return parameters with which the kernels depend on the encoder's bias alone."""
    params = drawn_params(layer, features)
    encoder = params["content_encoder"]
    encoder = {
        "kernel": np.zeros_like(encoder["kernel"]),
        "bias": np.asarray(bias, np.float32).reshape(encoder["bias"].shape),
    }
    return params | {"content_encoder": encoder}


# Results of the original modules


PACKS = {
    "pack_01_default": CARAFEUpsample(),
    "pack_02_g2_dil2": CARAFEUpsample(
        kernel_size=3, groups=2, encoder_dilation=2, compressed_channels=6
    ),
    "pack_03_mmcv_init": CARAFE(),
    "pack_04_s3": CARAFE(scale=3, encoder_kernel_size=1, compressed_channels=5),
    "downmod_carafeplusplus_s2": CARAFEDownsample(),
    "downmod_carafeplusplus_s2_odd": CARAFE(scale="1/2", compressed_channels=16),
    "downmod_paparazz1_s2": CARAFEDownsample(),
}
OTHER_NAMES = {"compress_conv": "channel_compressor", "encoder_conv": "content_encoder"}


def nhwc(array):
    return np.moveaxis(array, 1, -1)


def golden_params(golden, prefix, scale):
    arrays = {}
    for name in golden:
        if name.startswith(f"{prefix}/"):
            layer, part = name.removeprefix(f"{prefix}/").split(".")
            arrays[f"{OTHER_NAMES.get(layer, layer)}.{part}"] = golden[name]
    return mmcv_carafe_to_flax(arrays, scale=scale)["params"]


def check_golden(name, dtype, tolerance):
    layer = PACKS[name]
    scale = Fraction(layer.scale).numerator
    golden = np.load(GOLDENS / f"{name}.npz")
    params, features = jax.tree.map(
        lambda x: jnp.asarray(x, dtype),
        (golden_params(golden, "state_dict", scale), nhwc(golden["input/0"])),
    )

    @jax.jit
    def value_and_gradients(params, features, cotangent):
        out, pullback = jax.vjp(
            lambda params, x: layer.apply({"params": params}, x), params, features
        )
        return out, pullback(cotangent)

    actual = value_and_gradients(
        params, features, jnp.asarray(nhwc(golden["R/0"]), dtype)
    )
    expected = (
        nhwc(golden["ref64_output/0"]),
        (
            golden_params(golden, "ref64_grad_param", scale),
            nhwc(golden["ref64_grad_input/0"]),
        ),
    )
    chex.assert_trees_all_equal_structs(actual, expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == dtype
        atol = tolerance * np.max(np.abs(y))
        np.testing.assert_allclose(np.float64(x), y, rtol=0, atol=atol)


@pytest.mark.parametrize("name", PACKS)
def test_output_and_gradients_are_those_of_the_original_in_float64(name):
    # Relative to the largest value: sums of some thousand products cancel.
    with jax.enable_x64(True):
        check_golden(name, jnp.float64, tolerance=1e-11)


@pytest.mark.parametrize("name", ["pack_02_g2_dil2", "downmod_carafeplusplus_s2_odd"])
def test_output_and_gradients_are_those_of_the_original_in_float32(name):
    # A hundred roundings of float32.
    check_golden(name, jnp.float32, tolerance=1e-5)


def test_kernels_are_those_of_mmcv():
    golden = np.load(GOLDENS / "pack_02_g2_dil2.npz")
    params = golden_params(golden, "state_dict", 2)
    kernels = predict_kernels(PACKS["pack_02_g2_dil2"], params, nhwc(golden["input/0"]))
    expected = nhwc(golden["ref64_masks"]).reshape(kernels.shape)
    # Weights below one in float32.
    chex.assert_trees_all_close(np.float64(kernels), expected, atol=1e-6)


# Kernels


@pytest.mark.parametrize(
    "scale", [1, 2, 3, "3/2", "4/3", "2/3", "1/2", "1/3", Fraction(5, 2)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 7), (6, 3)])
def test_output_has_the_scaled_size_rounded_up(size, scale):
    layer = small(scale=scale, encoder_dilation=2)
    ratio = Fraction(scale)
    out = jax.eval_shape(lambda x: run(layer, x), jnp.zeros((2, *size, 3)))
    assert out.shape == (2, *(math.ceil(length * ratio) for length in size), 3)


@pytest.mark.parametrize("scale", [2, "1/2", "3/2"])
def test_output_is_the_map_reassembled_with_the_sown_kernels(scale):
    features = normal(0, 2, 5, 4, 6)
    layer = small(scale=scale, groups=3)
    params = drawn_params(layer, features)
    out, kernels = jax.jit(lambda x: predict(layer, params, x))(features)
    assert kernels.shape == (*out.shape[:3], 3, 9)
    expected = oracle.reassemble(features, kernels, scale=scale)
    # Float32 sums of nine products of about 1.
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_kernels_are_sown_only_on_request():
    layer = small()
    variables = jax.eval_shape(layer.init, jax.random.key(0), FEATURES)
    assert set(variables) == {"params"}


@pytest.mark.parametrize("normalizer", ["softmax", "normalized_sigmoid"])
@pytest.mark.parametrize("scale", [2, "1/2", "3/2"])
def test_kernels_sum_to_one(scale, normalizer):
    features = normal(0, 1, 5, 4, 6)
    layer = small(scale=scale, groups=2, normalizer=normalizer)
    kernels = predict_kernels(layer, drawn_params(layer, features, spread=2), features)
    assert np.std(kernels) > 0.01
    # Nine float32 weights of about 0.1.
    np.testing.assert_allclose(kernels.sum(axis=-1), 1, rtol=1e-6)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    "sigmoid": sigmoid,
    "normalized_sigmoid": lambda x: sigmoid(x) / sigmoid(x).sum(axis=-1, keepdims=True),
}


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_kernels_follow_the_formula_of_the_normalizer_in_phase_major_order(normalizer):
    # Scale 3/2 on two anchors a side: phases 0 to 2 of each, two groups, nine taps.
    features = normal(0, 1, 4, 4, 4)
    layer = small(scale="3/2", groups=2, normalizer=normalizer)
    logits = normal(1, 3, 3, 2, 9)
    kernels = predict_kernels(
        layer, with_encoder_bias(layer, features, logits), features
    )
    expected = np.tile(FORMULAS[normalizer](np.float64(logits)), (2, 2, 1, 1))[None]
    # Weights below one in float32.
    np.testing.assert_allclose(kernels, expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_normalised_sigmoid_is_uniform_where_every_sigmoid_underflows(dtype):
    features = jnp.asarray(normal(0, 1, 2, 2, 4), dtype)
    layer = small(normalizer="normalized_sigmoid")
    params = with_encoder_bias(layer, features, np.full(36, -1e4))
    kernels = predict_kernels(layer, params, features)
    np.testing.assert_array_equal(
        kernels, jnp.asarray(1 / 9, jnp.float32).astype(dtype)
    )


def test_gradient_of_the_normalised_sigmoid_is_finite_where_every_sigmoid_underflows():
    features = normal(0, 1, 2, 2, 4)
    layer = small(normalizer="normalized_sigmoid")
    params = with_encoder_bias(layer, features, -1e4 + np.arange(36))
    gradient = jax.jit(
        jax.grad(lambda params: jnp.sum(jnp.square(apply(layer, params, features))))
    )(params)
    chex.assert_tree_all_finite(gradient)
    assert np.any(gradient["content_encoder"]["bias"] != 0)


def test_kernels_of_low_precision_are_normalised_in_float32():
    # Sixteen bits would round each exponential first: 25 errors instead of one.
    features = jnp.asarray(normal(0, 1, 3, 3, 8), jnp.bfloat16)
    layer = CARAFE(compressed_channels=4)
    logits = normal(1, 100)
    kernels = predict_kernels(
        layer, with_encoder_bias(layer, features, logits), features
    )
    rounded = np.float32(jnp.asarray(logits, jnp.bfloat16)).reshape(2, 2, 1, 25)
    expected = jnp.asarray(FORMULAS["softmax"](rounded), jnp.bfloat16)
    np.testing.assert_array_equal(kernels[:, :2, :2], expected[None])


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_each_group_has_kernels_of_its_own(changed):
    features = normal(0, 1, 3, 3, 6)
    layer = small(scale=1, groups=3)
    logits = np.zeros((3, 9))
    apply = jax.jit(lambda params: layer.apply({"params": params}, features))
    before = np.asarray(apply(with_encoder_bias(layer, features, logits)))
    logits[changed, 4] = 5
    after = np.asarray(apply(with_encoder_bias(layer, features, logits)))
    (different,) = np.nonzero(np.any(before != after, axis=(0, 1, 2)))
    np.testing.assert_array_equal(different, [2 * changed, 2 * changed + 1])


@pytest.mark.parametrize(
    ("encoder_kernel_size", "encoder_dilation"), [(1, 1), (3, 1), (3, 2), (5, 1)]
)
@pytest.mark.parametrize("scale", [2, "1/2", "1/3", "3/2"])
def test_encoder_sees_the_pixels_around_its_anchor(
    scale, encoder_dilation, encoder_kernel_size
):
    features = normal(0, 1, 11, 9, 4)
    layer = small(
        scale=scale,
        encoder_kernel_size=encoder_kernel_size,
        encoder_dilation=encoder_dilation,
    )
    params = drawn_params(layer, features)
    pixel = (5, 4)
    moved = features.copy()
    moved[0, *pixel] += 1
    both = np.stack([features, moved])
    kernels, others = jax.jit(jax.vmap(lambda x: predict(layer, params, x)[1]))(both)
    changed = np.any(kernels != others, axis=(0, 3, 4))
    # The anchor of output row i is source row i // u * d.
    ratio = Fraction(scale)
    radius = encoder_kernel_size // 2
    offsets = {encoder_dilation * tap for tap in range(-radius, radius + 1)}
    seen = [
        [
            pixel[axis] - index // ratio.numerator * ratio.denominator in offsets
            for index in range(size)
        ]
        for axis, size in enumerate(changed.shape)
    ]
    np.testing.assert_array_equal(changed, np.logical_and.outer(*seen))


# Parameters


@pytest.mark.parametrize(
    ("scale", "encoder_channels"), [(2, 4 * 18), ("1/2", 18), ("3/2", 9 * 18)]
)
def test_parameters_have_the_names_and_shapes_of_the_paper(scale, encoder_channels):
    layer = small(scale=scale, groups=2, encoder_kernel_size=5)
    assert jax.tree.map(jnp.shape, drawn_params(layer, FEATURES)) == {
        "channel_compressor": {"kernel": (1, 1, 8, 4), "bias": (4,)},
        "content_encoder": {
            "kernel": (5, 5, 4, encoder_channels),
            "bias": (encoder_channels,),
        },
    }


def test_encoder_reads_the_map_itself_without_a_compressor():
    layer = small(compressed_channels=None)
    shapes = jax.tree.map(jnp.shape, drawn_params(layer, FEATURES))
    assert shapes == {"content_encoder": {"kernel": (3, 3, 8, 36), "bias": (36,)}}


def test_compressor_has_no_bias_where_a_norm_follows():
    layer = small(norm=BATCH_NORM)
    params = drawn_params(layer, FEATURES)
    assert jax.tree.map(jnp.shape, params) == {
        "channel_compressor": {"kernel": (1, 1, 8, 4)},
        "compressor_norm": {"scale": (4,), "bias": (4,)},
        "content_encoder": {"kernel": (3, 3, 4, 36), "bias": (36,)},
    }


@pytest.mark.parametrize(
    ("layer", "scale", "channels"),
    [(CARAFEUpsample(), 2, 64), (CARAFEDownsample(), Fraction(1, 2), 16)],
    ids=["up", "down"],
)
def test_defaults_are_those_of_the_paper(layer, scale, channels):
    assert layer == type(layer)(
        scale=scale,
        kernel_size=5,
        encoder_kernel_size=3,
        encoder_dilation=1,
        compressed_channels=channels,
        groups=1,
        normalizer="softmax",
        norm=None,
    )


def test_initial_values_are_those_of_mmcv():
    layer = CARAFE()
    params: Any = layer.init(jax.random.key(0), jnp.zeros((1, 2, 2, 256)))["params"]
    compressor, encoder = params["channel_compressor"], params["content_encoder"]
    bound = math.sqrt(6 / (256 + 64))
    assert 0.99 * bound < np.max(np.abs(compressor["kernel"])) <= bound
    # The mean and the spread of 57600 values: five standard errors.
    assert abs(np.mean(encoder["kernel"])) < 5 * 0.001 / 240
    assert abs(np.std(encoder["kernel"]) / 0.001 - 1) < 5 / math.sqrt(2 * 57600)
    assert not np.any(compressor["bias"])
    assert not np.any(encoder["bias"])


def test_initializers_reach_the_parameters():
    constant = nn.initializers.constant
    layer = small(
        compressor_kernel_init=constant(2.0),
        encoder_kernel_init=constant(3.0),
        bias_init=constant(4.0),
    )
    params: Any = layer.init(jax.random.key(0), FEATURES)["params"]
    assert np.all(params["channel_compressor"]["kernel"] == 2)
    assert np.all(params["content_encoder"]["kernel"] == 3)
    assert np.all(params["channel_compressor"]["bias"] == 4)
    assert np.all(params["content_encoder"]["bias"] == 4)


# Norm


def norm_variables(features, layer):
    params = drawn_params(layer, features)
    stats = {"mean": normal(1, 4), "var": np.exp(normal(2, 4))}
    return {"params": params, "batch_stats": {"compressor_norm": stats}}


@pytest.mark.parametrize("train", [True, False])
def test_norm_and_relu_are_between_compressor_and_encoder(train):
    features = normal(0, 2, 3, 4, 6)
    layer = small(norm=BATCH_NORM, scale=1, encoder_kernel_size=1)
    variables: Any = norm_variables(features, layer)
    state: Any
    _, state = layer.apply(
        variables, features, train=train, mutable=["intermediates", "batch_stats"]
    )
    params, stats = variables["params"], variables["batch_stats"]["compressor_norm"]
    x = np.float64(features) @ params["channel_compressor"]["kernel"][0, 0]
    mean, var = stats["mean"], stats["var"]
    if train:
        mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    norm = params["compressor_norm"]
    x = (x - mean) / np.sqrt(var + 1e-5) * norm["scale"] + norm["bias"]
    encoder = params["content_encoder"]
    logits = np.maximum(x, 0) @ encoder["kernel"][0, 0] + encoder["bias"]
    kernels: Any = state["intermediates"]["kernels"][0]
    # Float32 weights below one.
    np.testing.assert_allclose(
        kernels[..., 0, :], FORMULAS["softmax"](logits), atol=1e-5
    )


def test_running_statistics_move_towards_those_of_the_batch_in_training():
    features = normal(0, 2, 3, 4, 6)
    layer = small(norm=BATCH_NORM)
    variables: Any = norm_variables(features, layer)
    _, state = layer.apply(variables, features, train=True, mutable="batch_stats")
    x: Any = features @ variables["params"]["channel_compressor"]["kernel"][0, 0]
    before = variables["batch_stats"]["compressor_norm"]
    expected = {
        "mean": 0.5 * before["mean"] + 0.5 * x.mean(axis=(0, 1, 2)),
        "var": 0.5 * before["var"] + 0.5 * x.var(axis=(0, 1, 2)),
    }
    # Float32 means of values of about 1.
    chex.assert_trees_all_close(
        dict(state["batch_stats"]["compressor_norm"]), expected, atol=1e-5
    )


def test_running_statistics_stay_outside_of_training():
    features = normal(0, 2, 3, 4, 6)
    layer = small(norm=BATCH_NORM)
    variables: Any = norm_variables(features, layer)
    _, state = layer.apply(variables, features, mutable="batch_stats")
    chex.assert_trees_all_equal(state["batch_stats"], variables["batch_stats"])


# Dtypes


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_output_gradient_and_kernels_have_the_dtype_of_the_input(layer, dtype):
    def total(features):
        out, kernels = predict(layer(), drawn_params(layer(), features), features)
        return out.sum(), (out, kernels)

    gradient, (out, kernels) = jax.eval_shape(
        jax.grad(total, has_aux=True), jax.ShapeDtypeStruct((1, 4, 6, 8), dtype)
    )
    assert {x.dtype for x in (gradient, out, kernels)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16", jnp.dtype("bfloat16")])
def test_dtype_sets_the_dtype_of_the_output(dtype):
    layer = small(dtype=dtype)
    assert jax.eval_shape(lambda: run(layer, FEATURES)).dtype == jnp.bfloat16


def test_parameters_are_float32_whatever_the_input():
    params = drawn_params(small(norm=BATCH_NORM), FEATURES.astype(jnp.bfloat16))
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_param_dtype_sets_the_dtype_of_the_parameters():
    layer = small(norm=BATCH_NORM, param_dtype=jnp.bfloat16)
    params = drawn_params(layer, FEATURES)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


def test_numpy_arrays_of_float64_are_taken_as_float32():
    # A warning of truncation would be an error here.
    out = run(small(), np.ones((1, 2, 2, 4)))
    assert out.dtype == jnp.float32


def test_bfloat16_is_near_float32():
    features = jnp.asarray(normal(0, 1, 4, 6, 8), jnp.bfloat16)
    layer = small()
    params = drawn_params(layer, features, spread=0.2)
    out, expected = (
        apply(layer, params, features.astype(dtype))
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    # Eight bits for the logits, the kernels and the output, of about 1.
    chex.assert_trees_all_close(out.astype(jnp.float32), expected, atol=0.05)


# Transformations


@pytest.mark.parametrize("layer", LAYERS)
def test_empty_batch_gives_an_empty_batch(layer):
    features = jnp.zeros((0, 5, 6, 8))
    params = drawn_params(layer(), features)
    out, gradients = jax.jit(
        jax.value_and_grad(
            lambda params, x: layer().apply({"params": params}, x).sum(), argnums=(0, 1)
        )
    )(params, features)
    assert out == 0
    assert all(not np.any(x) for x in jax.tree.leaves(gradients))


def test_vmap_is_the_same_as_a_loop():
    features = normal(0, 2, 1, 4, 6, 8)
    params = drawn_params(small(), features[0])

    def apply(x):
        return small().apply({"params": params}, x)

    expected = jnp.stack([jax.jit(apply)(x) for x in features])
    # Batched convolutions may sum in another order.
    chex.assert_trees_all_close(jax.jit(jax.vmap(apply))(features), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [2, "1/2"])
def test_gradient_penalty_matches_finite_differences(scale):
    layer = CARAFE(
        scale=scale, kernel_size=3, compressed_channels=2, param_dtype=np.float64
    )
    with jax.enable_x64(True):
        features = jnp.asarray(normal(0, 1, 3, 2, 2), jnp.float64)
        params = drawn_params(layer, features)

        @jax.jit
        def penalty(params, features):
            def total(features):
                return jnp.sum(jnp.sin(apply(layer, params, features)))

            return jnp.sum(jax.grad(total)(features) ** 2)

        check_grads(penalty, (params, features), order=1, modes=("rev",))


def test_layer_inside_an_nnx_model_learns():
    # The pattern to copy: wrap, initialise with one input, train as any nnx module.
    class Model(nnx.Module):
        def __init__(self, features: jax.Array, rngs: nnx.Rngs) -> None:
            self.stem = nnx.Conv(3, 4, (3, 3), rngs=rngs)
            layer = CARAFEUpsample(kernel_size=3, compressed_channels=4)
            self.upsample = nnx.bridge.ToNNX(layer, rngs=rngs).lazy_init(
                self.stem(features)
            )

        def __call__(self, features: jax.Array) -> jax.Array:
            return self.upsample(self.stem(features))

    features, target = (
        jnp.asarray(normal(0, 1, 4, 4, 3)),
        jnp.asarray(normal(1, 1, 8, 8, 4)),
    )

    def weights(model: Any) -> Any:
        return model.upsample.content_encoder["kernel"]

    model = Model(features, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        def loss(model):
            return jnp.mean((model(features) - target) ** 2)

        value, gradients = nnx.value_and_grad(loss)(model)
        optimizer.update(model, gradients)
        return value

    encoder = np.asarray(weights(model))
    first, second = step(model, optimizer), step(model, optimizer)
    assert second < first
    assert np.any(np.asarray(weights(model)) != encoder)


def test_upsampled_level_is_cropped_to_an_odd_lateral():
    top, lateral = jnp.zeros((1, 3, 4, 8)), jnp.zeros((1, 5, 7, 8))
    out = jax.eval_shape(lambda: crop(run(small(), top), size=lateral.shape[1:3]))
    assert out.shape == lateral.shape


# Refusals


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("shape", [(4, 6, 8), (1, 1, 4, 6, 8)])
def test_wrong_rank_is_refused(layer, shape):
    with pytest.raises(ValueError, match=r"`features` must have rank 4.*got shape \("):
        layer().init(jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_, jnp.complex64])
def test_dtype_that_is_not_floating_is_refused(dtype):
    message = f"`features` must be of a floating dtype.*got {jnp.dtype(dtype)}"
    with pytest.raises(ValueError, match=message):
        CARAFE().init(jax.random.key(0), FEATURES.astype(dtype))


@pytest.mark.parametrize("shape", [(1, 0, 6, 8), (1, 4, 0, 8), (1, 4, 6, 0)])
def test_map_without_pixels_or_channels_is_refused(shape):
    with pytest.raises(ValueError, match=r"`features` must have at least one pixel.*0"):
        CARAFE().init(jax.random.key(0), jnp.zeros(shape))


def test_channels_that_are_no_multiple_of_the_groups_are_refused():
    message = "`features` must have a multiple of `groups` = 3 channels, got 8"
    with pytest.raises(ValueError, match=message):
        CARAFE(groups=3).init(jax.random.key(0), FEATURES)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 2.0}, "`scale` must be .*Fraction.*the float 2.0"),
        ({"scale": 0}, "`scale` must be positive, got 0"),
        ({"scale": "one"}, "`scale` must be .*Fraction.*got 'one'"),
        ({"kernel_size": 4}, "`kernel_size` must be a positive odd int, got 4"),
        ({"kernel_size": -1}, "`kernel_size` must be a positive odd int, got -1"),
        ({"kernel_size": 5.0}, "`kernel_size` must be a positive odd int, got 5.0"),
        ({"kernel_size": True}, "`kernel_size` must be a positive odd int, got True"),
        ({"encoder_kernel_size": 2}, "`encoder_kernel_size` must be .* odd int, got 2"),
        ({"encoder_dilation": 0}, "`encoder_dilation` must be a positive int, got 0"),
        ({"groups": 0}, "`groups` must be a positive int, got 0"),
        ({"groups": 1.5}, "`groups` must be a positive int, got 1.5"),
        ({"compressed_channels": 0}, "`compressed_channels` must be None or .*got 0"),
        ({"normalizer": "max"}, "`normalizer` must be one of 'softmax'.*got 'max'"),
        ({"dtype": jnp.int32}, "`dtype` must be a floating dtype, .* got .*int32"),
        ({"dtype": "bf16"}, "`dtype` must be a floating dtype, .* got 'bf16'"),
        (
            {"param_dtype": jnp.int8},
            "`param_dtype` must be a floating dtype, .* got .*int8",
        ),
        (
            {"norm": nn.BatchNorm, "compressed_channels": None},
            "`norm` follows the channel compressor: it needs `compressed_channels`",
        ),
    ],
    ids=str,
)
def test_field_that_breaks_its_rule_is_refused(layer, fields, message):
    with pytest.raises(ValueError, match=message):
        layer(**fields)


@pytest.mark.parametrize(
    ("scale", "inverse"),
    [("1/2", "2"), ("2/3", "3/2"), (Fraction(99, 100), "100/99")],
)
def test_upsampler_refuses_a_scale_below_one(scale, inverse):
    message = f"`scale` must be at least 1 to up-.*; did you mean '{inverse}'\\?$"
    with pytest.raises(ValueError, match=message):
        CARAFEUpsample(scale=scale)


@pytest.mark.parametrize(
    ("scale", "inverse"),
    [(2, "1/2"), ("3/2", "2/3"), (Fraction(101, 100), "100/101")],
)
def test_downsampler_refuses_a_scale_above_one(scale, inverse):
    message = f"`scale` must be at most 1 to down-.*; did you mean '{inverse}'\\?$"
    with pytest.raises(ValueError, match=message):
        CARAFEDownsample(scale=scale)


@pytest.mark.parametrize("layer", LAYERS)
def test_scale_one_is_allowed_everywhere(layer):
    assert jax.eval_shape(lambda: run(layer(scale=1), FEATURES)).shape == FEATURES.shape


def test_implementation_reaches_the_operator():
    with pytest.raises(NotImplementedError, match="'triton'"):
        run(small(implementation="triton"), FEATURES)


def test_validity_is_given_by_name():
    init: Any = CARAFE().init
    with pytest.raises(TypeError, match="positional"):
        init(jax.random.key(0), FEATURES, False, FEATURES[..., :1])
