"""Configurations of inpainting networks."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.models import GlobalLocalConfig, PatchGANConfig, UNetConfig

IMAGE, HOLE = jnp.zeros((1, 20, 24, 3)), jnp.zeros((1, 20, 24, 1))


def parameters(network: Any, *inputs: jax.Array) -> list[str]:
    """Return the paths of a network's parameters."""
    variables = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    paths = jax.tree_util.tree_leaves_with_path(variables["params"])
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]


@pytest.mark.parametrize("resampler", ["carafe", "conv"])
def test_unet_has_the_resamplers_of_its_configuration(resampler):
    config = UNetConfig(resampler=resampler, stage_features=(4, 6))
    names = parameters(config.make(), IMAGE, HOLE)
    assert any("content_encoder" in name for name in names) == (resampler == "carafe")
    assert any(name.startswith("down_1/conv") for name in names)


@pytest.mark.parametrize("kernels", ["box", "gaussian"])
def test_unet_starts_from_the_kernels_of_its_configuration(kernels):
    config = UNetConfig(initial_kernels=kernels, stage_features=(4, 6))
    params: Any = config.make().init(jax.random.key(0), IMAGE, HOLE)["params"]
    for layer in (params["up_0"], params["down_1"]["carafe"]):
        bias = layer["content_encoder"]["bias"]
        assert bool(bias.any()) == (kernels == "gaussian")


@pytest.mark.parametrize("convolution", ["plain", "partial"])
@pytest.mark.parametrize("resampler", ["carafe", "conv"])
def test_global_local_has_the_layers_of_its_configuration(convolution, resampler):
    config = GlobalLocalConfig(convolution=convolution, resampler=resampler, width=4)
    names = parameters(config.make(), IMAGE, HOLE)
    assert any("content_encoder" in name for name in names) == (resampler == "carafe")
    assert any("deconv" in name for name in names) == (
        (convolution, resampler) == ("plain", "conv")
    )
    assert any("norm" in name for name in names)


def test_global_local_may_have_no_norm():
    config = GlobalLocalConfig(width=4, norm="none")
    assert not any("norm" in name for name in parameters(config.make(), IMAGE, HOLE))


def test_patch_gan_halves_the_map_in_each_convolution():
    network = PatchGANConfig(features=(4, 4, 1), kernel_size=3).make()
    features = jnp.zeros((1, 32, 40, 4))
    variables = jax.eval_shape(network.init, jax.random.key(0), features)
    assert jax.eval_shape(network.apply, variables, features).shape == (1, 4, 5, 1)
    assert "weight_norm" in variables["batch_stats"]["layer_0"]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (UNetConfig(), "U-Net, CARAFE++"),
        (UNetConfig(resampler="conv"), "U-Net"),
        (GlobalLocalConfig(), "Global&Local, CARAFE++"),
        (GlobalLocalConfig(resampler="conv"), "Global&Local"),
        (GlobalLocalConfig(convolution="partial"), "Partial Conv, CARAFE++"),
        (GlobalLocalConfig(convolution="partial", resampler="conv"), "Partial Conv"),
    ],
)
def test_network_is_named_as_in_tables(config, name):
    assert config.name == name


@pytest.mark.parametrize("features", [(), (4, 0)])
def test_unet_without_channels_is_refused(features):
    with pytest.raises(RefusedError, match=r"`stage_features` must be one or more"):
        UNetConfig(stage_features=features)


def test_content_encoder_without_channels_is_refused():
    with pytest.raises(RefusedError, match=r"`compressed_channels` .* got \(0, 64\)"):
        GlobalLocalConfig(compressed_channels=(0, 64))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (UNetConfig, "resampler"),
        (UNetConfig, "initial_kernels"),
        (GlobalLocalConfig, "convolution"),
        (GlobalLocalConfig, "resampler"),
        (GlobalLocalConfig, "norm"),
        (PatchGANConfig, "weight_norm"),
    ],
)
def test_value_that_is_no_choice_is_refused(config, name):
    made = config()
    object.__setattr__(made, name, "other")  # A run-time type checker refuses it first.
    with pytest.raises(RefusedError, match=f"`{name}` must be one of .* got 'other'"):
        made.__post_init__()
