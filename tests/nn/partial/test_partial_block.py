"""Blocks on maps with holes: a U-Net against PyTorch, and the parts of the blocks."""

import functools
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from carafe_jax.nn import (
    CARAFE,
    BatchNorm,
    Masked,
    PartialCARAFE,
    PartialConv,
    PartialConvBlock,
    PartialNearestUpsample,
    PartialResampleConv,
    resize_nearest,
)
from tests.nn.partial.holes import apply, drawn_variables, random_masked
from tests.nn.torch_goldens import load, nhwc

WIDTHS = (4, 8, 16, 32, 32)
KERNEL_SIZES = (7, 5, 5, 3, 3)
small_carafe = functools.partial(CARAFE, kernel_size=3, compressed_channels=4)
halve = functools.partial(
    PartialCARAFE, reassembly=functools.partial(small_carafe, scale="1/2")
)
BLOCKS = {
    "conv": functools.partial(PartialConvBlock, stride=2),
    "carafe": functools.partial(PartialResampleConv, resample=halve),
    "nearest": functools.partial(PartialResampleConv, resample=PartialNearestUpsample),
}
blocks = pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)


# The U-Net of Liu et al.


def per_channel(masked: Masked) -> Masked:
    """Return the map with one validity per channel, as in the original.

    The ratio |N| / (n + 1e-8) then differs slightly, as n counts the channels too.
    """
    return masked._replace(valid=jnp.broadcast_to(masked.valid, masked.features.shape))


def join(low: Masked, skip: Masked) -> Masked:
    """Up-sample a map by 2, and concatenate it with a skip connection."""
    size = skip.features.shape[1:3]
    low = Masked(*(resize_nearest(x, size=size) for x in low))
    return Masked(*(jnp.concatenate(x, axis=-1) for x in zip(low, skip, strict=True)))


class PartialConvUNet(nn.Module):
    """The network of Liu et al. (arXiv:1804.07723) with few channels."""

    @nn.compact
    def __call__(self, masked: Masked, *, train: bool) -> Masked:
        """Fill holes."""
        skips = [masked]
        for stage, (width, side) in enumerate(zip(WIDTHS, KERNEL_SIZES, strict=True)):
            block = PartialConvBlock(
                width,
                side,
                stride=2,
                norm=BatchNorm if stage else None,
                name=f"enc{stage + 1}",
            )
            skips.append(per_channel(block(skips[-1], train=train)))
        masked = skips.pop()
        for stage, skip in reversed(list(enumerate(skips, start=1))):
            block = PartialConvBlock(
                WIDTHS[stage - 2] if stage > 1 else 3,
                norm=BatchNorm if stage > 1 else None,
                activation=_leaky_relu if stage > 1 else None,
                name=f"dec{stage}",
            )
            masked = per_channel(block(join(masked, skip), train=train))
        return masked


def _leaky_relu(x):
    return nn.leaky_relu(x, 0.2)


def golden_variables(golden, prefix):
    """Return the arrays of a golden as Flax variables."""
    places = {
        "conv.weight": ("params", "conv", "kernel"),
        "conv.bias": ("params", "conv", "bias"),
        "bn.weight": ("params", "norm", "scale"),
        "bn.bias": ("params", "norm", "bias"),
        "bn.running_mean": ("batch_stats", "norm", "mean"),
        "bn.running_var": ("batch_stats", "norm", "var"),
    }
    variables: dict[str, dict[tuple[str, ...], Any]] = {"params": {}, "batch_stats": {}}
    for name in golden:
        if name.startswith(f"{prefix}/"):
            _, block, part = name.split(".", 2)
            if part in places:
                array = golden[name]
                array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
                collection, layer, leaf = places[part]
                variables[collection][block, layer, leaf] = array
    return variables


def test_output_gradients_and_statistics_of_a_unet_are_those_of_pytorch():
    golden = load("pconv_unet_mmedit_train")
    with jax.enable_x64(True):
        flat, features, valid, cotangent = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64),
            (
                golden_variables(golden, "state_dict"),
                *(nhwc(golden[name]) for name in ("input/0", "input/1", "R/0")),
            ),
        )
        stats = unflatten_dict(flat["batch_stats"])

        @jax.jit
        def value_and_gradients(params, features):
            def run(params, features) -> Any:
                variables = {"params": unflatten_dict(params), "batch_stats": stats}
                out: Any
                out, state = PartialConvUNet().apply(
                    variables,
                    Masked(features, valid),
                    train=True,
                    mutable="batch_stats",
                )
                return out.features, (out.valid, state["batch_stats"])

            out, pullback, rest = jax.vjp(run, params, features, has_aux=True)
            return out, rest, pullback(cotangent)

        out, (new_valid, state), gradients = value_and_gradients(
            flat["params"], features
        )
    expected = golden_variables(golden, "ref64_grad_param")["params"]
    by_name = {name: gradients[0][name] for name in expected}
    chex.assert_trees_all_close(
        (out, flatten_dict(state), by_name, gradients[1]),
        (
            nhwc(golden["ref64_output/0"]),
            golden_variables(golden, "ref64_state_after")["batch_stats"],
            expected,
            nhwc(golden["ref64_grad_input/0"]),
        ),
        rtol=1e-9,
        # Where sums cancel, relative to the largest gradient of the input.
        atol=1e-9 * np.max(np.abs(golden["ref64_grad_input/0"])),
    )
    np.testing.assert_array_equal(new_valid, nhwc(golden["ref64_output/1"]))


# Parts of the blocks


@blocks
def test_convolution_with_a_norm_has_no_bias(block):
    masked = random_masked(0, 1, 6, 7, 2)
    plain = drawn_variables(block(3), masked)["params"]
    assert set(plain["conv"]) == {"kernel", "bias"}
    normed = drawn_variables(block(3, norm=BatchNorm), masked)
    assert set(normed["params"]["conv"]) == {"kernel"}
    assert jax.tree.map(jnp.shape, normed["batch_stats"]["norm"]) == {
        "mean": (3,),
        "var": (3,),
    }


@blocks
def test_holes_that_remain_are_zero_after_norm_and_activation(block):
    masked = random_masked(0, 1, 12, 12, 2)
    masked = masked._replace(valid=masked.valid.at[:, :10].set(0))
    layer = block(3, norm=BatchNorm, activation=lambda x: x + 1)
    out = apply(layer, drawn_variables(layer, masked), masked)
    hole = np.broadcast_to(out.valid == 0, out.features.shape)
    assert np.any(hole)
    assert not np.all(hole)
    assert np.all(np.asarray(out.features)[hole] == 0)
    assert np.all(np.asarray(out.features)[~hole] != 0)


def test_convolution_block_is_convolution_norm_and_activation():
    masked = random_masked(0, 2, 8, 7, 2)
    layer = PartialConvBlock(3, 5, 2, dilation=2, norm=BatchNorm, activation=jnp.tanh)
    variables: Any = drawn_variables(layer, masked)
    out = apply(layer, variables, masked)
    params = variables["params"]
    conv = PartialConv(3, 5, 2, dilation=2, use_bias=False)
    expected = apply(conv, {"params": params["conv"]}, masked)
    norm = {
        "params": params["norm"],
        "batch_stats": variables["batch_stats"]["norm"],
    }
    features: Any = BatchNorm(use_running_average=True).apply(norm, expected.features)
    features = jnp.tanh(features) * expected.valid
    chex.assert_trees_all_close(out, Masked(features, expected.valid), atol=1e-6)


@pytest.mark.parametrize("resample", [halve, PartialNearestUpsample])
def test_resampling_block_is_a_resampler_and_a_convolution_without_stride(resample):
    masked = random_masked(0, 1, 9, 8, 2)
    layer = PartialResampleConv(3, 5, resample, activation=None)
    params: Any = drawn_variables(layer, masked)["params"]
    out = apply(layer, {"params": params}, masked)
    expected = apply(resample(), {"params": params.get("resample", {})}, masked)
    expected = PartialConv(3, 5).apply({"params": params["conv"]}, expected)
    # Float32 sums of fifty products.
    chex.assert_trees_all_close(out, expected, atol=1e-5)


@blocks
def test_norm_learns_its_statistics_in_training_alone(block):
    masked = random_masked(0, 1, 6, 7, 2)
    layer = block(3, norm=BatchNorm)
    variables: Any = drawn_variables(layer, masked)
    stats = variables["batch_stats"]
    _, state = layer.apply(variables, masked, mutable="batch_stats")
    chex.assert_trees_all_equal(state["batch_stats"], stats)
    _, state = layer.apply(variables, masked, train=True, mutable="batch_stats")
    assert np.all(state["batch_stats"]["norm"]["mean"] != stats["norm"]["mean"])


@blocks
def test_dtypes_reach_every_layer(block):
    masked = random_masked(0, 1, 6, 7, 2)
    layer = block(3, norm=BatchNorm, dtype=jnp.bfloat16, param_dtype=jnp.float16)
    variables: Any = drawn_variables(layer, masked)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float16")}
    out = apply(layer, variables, masked)
    assert (out.features.dtype, out.valid.dtype) == (jnp.bfloat16, jnp.float32)


def test_default_resampler_is_halving_carafe():
    masked = random_masked(0, 1, 7, 6, 2)
    layer = PartialResampleConv(3)
    out = jax.eval_shape(layer.apply, drawn_variables(layer, masked), masked)
    assert (out.features.shape, out.valid.shape) == ((1, 4, 3, 3), (1, 4, 3, 1))


def test_stride_that_is_no_count_is_refused():
    with pytest.raises(ValueError, match="`stride` must be a positive int, got 0"):
        PartialConvBlock(3, stride=0).init(
            jax.random.key(0), random_masked(0, 1, 4, 4, 2)
        )


# Up-sampling


@pytest.mark.parametrize("scale", [2, 3])
def test_nearest_upsampling_repeats_pixels_and_validity(scale):
    masked = random_masked(0, 2, 5, 4, 3)
    out: Any = PartialNearestUpsample(scale=scale).apply({}, masked)
    expected = jax.tree.map(
        lambda x: np.repeat(np.repeat(x, scale, axis=1), scale, axis=2), masked
    )
    chex.assert_trees_all_equal(out, expected)


def test_nearest_upsampling_has_the_given_dtype_or_that_of_its_input():
    masked = random_masked(0, 1, 3, 4, 2)
    for dtype, expected in ((None, jnp.float32), (jnp.bfloat16, jnp.bfloat16)):
        out: Any = PartialNearestUpsample(dtype=dtype).apply({}, masked)
        assert (out.features.dtype, out.valid.dtype) == (expected, jnp.float32)
