"""Weights of mmediting's Global&Local and discriminators, converted."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import (
    mmediting_global_local_to_flax,
    mmediting_patch_gan_to_flax,
    mmediting_sn_patch_gan_to_flax,
)
from carafe_jax.models import GlobalLocal, PatchGAN, SNPatchGAN, instance_norm
from carafe_jax.nn import BatchNorm


def conv(name, *shape, bias=True):
    arrays = {f"{name}.weight": np.zeros(shape)}
    return arrays | ({f"{name}.bias": np.zeros(shape[0])} if bias else {})


def norm(name, channels):
    parts = ("weight", "bias", "running_mean", "running_var")
    arrays = {f"{name}.{part}": np.zeros(channels) for part in parts}
    return arrays | {f"{name}.num_batches_tracked": np.zeros((), np.int64)}


def global_local(*, norms):
    """Weights of a generator of width 2."""
    layers = {
        "encoder.enc1": (2, 4, 5, 5),
        "encoder.enc2": (4, 2, 3, 3),
        "encoder.enc3": (4, 4, 3, 3),
        "encoder.enc4": (8, 4, 3, 3),
        "encoder.enc5": (8, 8, 3, 3),
        "encoder.enc6": (8, 8, 3, 3),
        **{f"dilation_neck.dilation_convs.{i}": (8, 8, 3, 3) for i in range(4)},
        "decoder.dec1": (8, 8, 3, 3),
        "decoder.dec2": (8, 8, 3, 3),
        "decoder.dec3": (8, 4, 4, 4),
        "decoder.dec4": (4, 4, 3, 3),
        "decoder.dec5": (4, 2, 4, 4),
        "decoder.dec6": (1, 2, 3, 3),
        "decoder.dec7": (3, 1, 3, 3),
    }
    weights = {}
    for name, shape in layers.items():
        # A deconvolution has its channels the other way round.
        channels = shape[1] if shape[-1] == 4 else shape[0]
        weights[f"{name}.conv.weight"] = np.zeros(shape)
        if norms and name != "decoder.dec7":
            weights |= norm(f"{name}.bn", channels)
        else:
            weights[f"{name}.conv.bias"] = np.zeros(channels)
    return weights


def patch_gan(*, norms):
    """Weights of a discriminator with 2, 4 and 8 channels."""
    weights = conv("model.0.conv", 2, 3, 4, 4) | conv("model.3", 1, 8, 4, 4)
    for index, channels in ((1, 4), (2, 8)):
        name = f"model.{index}"
        bias = norms != "batch"
        weights |= conv(f"{name}.conv", channels, channels // 2, 4, 4, bias=bias)
        if norms == "batch":
            weights |= norm(f"{name}.bn", channels)
    return weights


def sn_patch_gan():
    """Weights of a discriminator with 2 and 4 channels."""
    weights = {}
    for index, shape in ((1, (2, 3, 5, 5)), (2, (4, 2, 5, 5))):
        name = f"conv{index}.conv"
        weights[f"{name}.weight_orig"] = np.ones(shape)
        weights[f"{name}.bias"] = np.zeros(shape[0])
        weights[f"{name}.weight_u"] = np.ones(shape[0])
        weights[f"{name}.weight_v"] = np.ones(np.prod(shape[1:]))
    return weights


def shapes(tree):
    return jax.tree.map(np.shape, tree)


@pytest.mark.parametrize("norms", [None, BatchNorm])
def test_converted_generator_is_that_of_the_network(norms):
    image, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 8, 8, 1))
    network = GlobalLocal(width=2, norm=norms)
    expected = jax.eval_shape(network.init, jax.random.key(0), image, mask)
    weights = global_local(norms=norms is not None)
    assert shapes(mmediting_global_local_to_flax(weights)) == shapes(dict(expected))


@pytest.mark.parametrize(
    ("norms", "layer"),
    [(None, None), ("batch", BatchNorm), ("instance", instance_norm)],
)
def test_converted_discriminator_is_that_of_the_network(norms, layer):
    network = PatchGAN(features=(2, 4, 8), strides=(2, 2, 1), norm=layer)
    features = jnp.zeros((1, 32, 32, 3))
    expected = jax.eval_shape(network.init, jax.random.key(0), features)
    converted = mmediting_patch_gan_to_flax(patch_gan(norms=norms), norm=norms)
    assert shapes(converted) == shapes(dict(expected))


def test_converted_spectral_norms_are_those_of_the_network():
    network = SNPatchGAN(features=(2, 4), strides=(2, 2))
    features = jnp.zeros((1, 16, 16, 3))
    expected = jax.eval_shape(network.init, jax.random.key(0), features)
    converted = mmediting_sn_patch_gan_to_flax(sn_patch_gan())
    assert shapes(converted) == shapes(dict(expected))


def without(weights, name):
    return {other: x for other, x in weights.items() if other != name}


@pytest.mark.parametrize(
    ("convert", "weights", "message"),
    [
        (
            mmediting_global_local_to_flax,
            without(global_local(norms=False), "decoder.dec7.conv.bias"),
            "Global&Local: missing decoder.dec7.conv.bias.",
        ),
        (
            mmediting_global_local_to_flax,
            global_local(norms=True) | {"encoder.enc1.conv.bias": np.zeros(2)},
            "Global&Local: unexpected encoder.enc1.conv.bias.",
        ),
        (
            mmediting_global_local_to_flax,
            {"conv1.weight": np.zeros((1, 1, 1, 1))},
            "missing encoder.enc1.conv.weight, .*; unexpected conv1.weight.",
        ),
        (
            mmediting_global_local_to_flax,
            global_local(norms=False) | {"encoder.enc1.conv.weight": np.zeros(2)},
            r"'encoder.enc1.conv.weight'\]` must have rank 4, got \(2,\)",
        ),
        (
            mmediting_patch_gan_to_flax,
            patch_gan(norms="instance"),
            "missing model.1.bn.weight, .*; unexpected model.1.conv.bias, model.2.conv",
        ),
        (mmediting_patch_gan_to_flax, {}, "missing model.0.weight, model.0.bias."),
        (
            mmediting_sn_patch_gan_to_flax,
            without(sn_patch_gan(), "conv2.conv.weight_v"),
            "MultiLayerDiscriminator: missing conv2.conv.weight_v.",
        ),
    ],
)
def test_wrong_weights_are_refused(convert, weights, message):
    with pytest.raises(ValueError, match=message):
        convert(weights)


def test_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"`norm` must be .* got 'layer'"):
        mmediting_patch_gan_to_flax(
            {},
            norm="layer",  # pyright: ignore[reportArgumentType]
        )


@pytest.mark.parametrize(
    ("convert", "weights"),
    [
        (mmediting_global_local_to_flax, global_local(norms=True)),
        (mmediting_global_local_to_flax, global_local(norms=False)),
        (mmediting_patch_gan_to_flax, patch_gan(norms="batch")),
        (mmediting_sn_patch_gan_to_flax, sn_patch_gan()),
    ],
)
def test_each_missing_or_misshaped_array_is_named(convert, weights):
    for name, array in weights.items():
        if name.endswith("num_batches_tracked"):
            continue
        with pytest.raises(RefusedError, match=rf"missing .*{re.escape(name)}"):
            convert(without(weights, name))
        # Twice the outputs; a deconvolution has its channels the other way round.
        is_deconvolution = name.startswith(
            ("decoder.dec3.conv.w", "decoder.dec5.conv.w")
        )
        twice = np.concatenate([array, array], axis=int(is_deconvolution))
        with pytest.raises(RefusedError, match=r"`state_dict\['.*'\]` must have shape"):
            convert({**weights, name: twice})


def test_module_that_is_meant_to_be_absent_is_left_out():
    weights = {
        name: x
        for name, x in global_local(norms=True).items()
        if not name.startswith("decoder.dec7.")
    }
    converted = mmediting_global_local_to_flax(weights, absent=("decoder.dec7",))
    assert "output" not in converted["params"]


def test_vector_without_its_kernel_is_kept_where_modules_may_be_absent():
    name = "conv1.conv.weight_v"
    weights = {name: sn_patch_gan()[name]}
    found = mmediting_sn_patch_gan_to_flax(weights, absent=None)
    (stored,) = jax.tree.leaves(found)
    np.testing.assert_array_equal(stored, weights[name])
