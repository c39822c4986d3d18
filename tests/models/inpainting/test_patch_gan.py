"""PatchGAN against goldens of PyTorch."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import export

from carafe_jax.interop import (
    mmediting_patch_gan_to_flax,
    mmediting_sn_patch_gan_to_flax,
)
from carafe_jax.models import PatchGAN, SNPatchGAN, instance_norm
from carafe_jax.nn import BatchNorm
from tests.models.inpainting import mmediting_goldens

small = functools.partial(PatchGAN, features=(4, 8), strides=(2, 1))
small_sn = functools.partial(SNPatchGAN, features=(8, 16, 32, 32), strides=(2, 2, 2, 2))


def random_map(*shape, dtype=np.float32):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(dtype)


GOLDEN_NETWORKS = {
    "patch_disc_bn_train": (
        {"features": (8, 16, 32, 64), "norm": BatchNorm},
        mmediting_patch_gan_to_flax,
    ),
    "patch_disc_in": (
        {"features": (6, 12, 24), "strides": (2, 2, 1), "norm": instance_norm},
        functools.partial(mmediting_patch_gan_to_flax, norm="instance"),
    ),
}


# In float32, ten times what PyTorch itself differs from float64.
@pytest.mark.parametrize("name", GOLDEN_NETWORKS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_numbers_are_those_of_pytorch(name, dtype, tolerance):
    fields, convert = GOLDEN_NETWORKS[name]
    network = PatchGAN(param_dtype=dtype, **fields)

    def apply(variables, features):
        output: Any
        output, updates = network.apply(
            variables, features, train=True, mutable=["batch_stats"]
        )
        return output, updates.get("batch_stats", {})

    golden = mmediting_goldens.load(name)
    with jax.enable_x64(dtype == "float64"):
        mmediting_goldens.check(
            golden, apply, convert, dtype=dtype, tolerance=tolerance
        )


# The singular vectors are recorded in float32.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-6), ("float32", 1e-5)])
def test_spectrally_normalised_numbers_are_those_of_pytorch(dtype, tolerance):
    network = small_sn(param_dtype=dtype)
    golden = mmediting_goldens.load("sn_patch_disc")
    with jax.enable_x64(dtype == "float64"):
        mmediting_goldens.check(
            golden,
            lambda variables, features: (network.apply(variables, features), {}),
            mmediting_sn_patch_gan_to_flax,
            dtype=dtype,
            tolerance=tolerance,
        )


def test_training_makes_a_step_of_power_iteration():
    golden = mmediting_goldens.load("sn_patch_disc")
    state = mmediting_goldens.section(golden, "state_dict/")
    variables = mmediting_sn_patch_gan_to_flax(state)
    network = small_sn()
    _, updates = jax.jit(
        functools.partial(network.apply, train=True, mutable=["batch_stats"])
    )(variables, random_map(1, 16, 16, 4))
    for index in range(4):
        kept: Any = updates["batch_stats"][f"layer_{index}"]["weight_norm"]
        u = golden[f"state_dict/conv{index + 1}.conv.weight_u"]
        # The u that torch made in its last step.
        np.testing.assert_allclose(kept["conv/kernel/u"][0], u, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (33, 40), (37, 50)])
def test_map_of_logits_has_the_size_of_pix2pix(size):
    features = random_map(2, *size, 4)
    output, _ = jax.eval_shape(PatchGAN().init_with_output, jax.random.key(0), features)
    h, w = ((n // 2 // 2 // 2) - 2 for n in size)
    assert output.shape == (2, h, w, 1)


def test_logit_sees_seventy_pixels():
    features = jnp.zeros((1, 160, 160, 1))
    network = PatchGAN(features=(2, 2, 2, 2), norm=None)
    variables = jax.jit(network.init)(jax.random.key(0), features)

    def middle(features):
        logits: Any = network.apply(variables, features)
        return logits[0, 9, 9, 0]

    seen = np.asarray(jax.jit(jax.grad(middle))(features + 0.1))[0, ..., 0] != 0
    assert seen.any(0).sum() == 70
    assert seen.any(1).sum() == 70


def test_spectral_norm_bounds_every_kernel():
    network = small(weight_norm=nn.SpectralNorm, norm=None)
    features = random_map(1, 16, 16, 3)
    variables = jax.jit(network.init)(jax.random.key(0), features)
    step = jax.jit(
        functools.partial(network.apply, train=True, mutable=["batch_stats"])
    )
    params = variables["params"]
    for _ in range(40):
        _, updates = step(variables, features)
        variables = {"params": params, **updates}
    for name, layer in params.items():
        kernel = np.asarray(layer["conv"]["kernel"])
        largest = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[1][0]
        sigma: Any = variables["batch_stats"][name]["weight_norm"]["conv/kernel/sigma"]
        # Power iteration converges from below, slowly if singular values are close.
        assert 0.99 * largest < sigma < 1.0001 * largest


def test_kernels_and_scales_begin_as_in_dcgan():
    params = jax.jit(PatchGAN(features=(16, 64, 64, 64)).init)(
        jax.random.key(0), jnp.zeros((1, 32, 32, 3))
    )["params"]
    kernel = np.asarray(params["layer_3"]["conv"]["kernel"])
    scale = np.asarray(params["layer_3"]["norm"]["scale"])
    np.testing.assert_allclose([kernel.mean(), kernel.std()], [0, 0.02], atol=1e-3)
    np.testing.assert_allclose([scale.mean(), scale.std()], [1, 0.02], atol=0.01)
    assert "bias" not in params["layer_3"]["conv"]
    assert "norm" not in params["layer_0"]


@pytest.mark.parametrize("norm", [None, BatchNorm, instance_norm])
def test_bfloat16_computation_returns_bfloat16_from_float32_parameters(norm):
    network = small(norm=norm, dtype=jnp.bfloat16)
    logits, variables = jax.eval_shape(
        network.init_with_output, jax.random.key(0), random_map(1, 16, 16, 3)
    )
    assert logits.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


def test_small_map_is_refused():
    with pytest.raises(ValueError, match=r"large enough for 5 .* got shape \(1, 16, 9"):
        jax.eval_shape(PatchGAN().init, jax.random.key(0), jnp.zeros((1, 16, 9, 3)))


def test_strides_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"`strides` .* 3 `features`, got \(2, 2\)"):
        PatchGAN(features=(4, 8, 8), strides=(2, 2))


def test_critic_is_exported_for_maps_of_any_size():
    network = PatchGAN(features=(2, 2), strides=(2, 1))
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.ones((1, 16, 8, 3)))
    n, h, w = export.symbolic_shape("n, h, w", constraints=["h >= 8", "w >= 8"])
    image = jax.ShapeDtypeStruct((n, h, w, 3), jnp.float32)
    exported = export.export(jax.jit(network.apply))(variables, image)
    assert [str(size) for size in exported.out_avals[0].shape[::3]] == ["n", "1"]
