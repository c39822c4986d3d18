"""Kernels of every CARAFE++ layer of a model."""

import chex
import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from carafe_jax import CARAFE, reassemble
from carafe_jax.models import UNet
from carafe_jax.viz import reassembly_levels, reassembly_sources


@pytest.mark.slow
def test_levels_of_a_network_are_in_the_order_of_its_calls():
    network = UNet(stage_features=(4, 6, 8), middle_dilations=())
    image, mask = jnp.zeros((1, 13, 10, 3)), jnp.ones((1, 13, 10, 1))
    variables = network.init(jax.random.key(0), image, mask)
    levels = reassembly_levels(network, variables, image, mask, train=False)
    assert [(name, *level[1:]) for name, level in levels.items()] == [
        ("down_1/carafe", levels["down_1/carafe"].scale, (13, 10)),
        ("down_2/carafe", levels["down_2/carafe"].scale, (7, 5)),
        ("up_1", 2, (4, 3)),
        ("up_0", 2, (7, 5)),
    ]
    assert levels["up_0"].kernels.shape == (1, 14, 10, 1, 25)
    # They chain, though the output of "up_1", 8 x 6, is cropped to 7 x 5.
    weights = reassembly_sources([levels["up_1"], levels["up_0"]], [(6, 4)])
    assert weights.shape == (1, 1, 4, 3)
    assert 0.4 < weights.sum() < 1


def test_kernels_are_those_that_the_layer_used():
    layer = CARAFE(scale="3/2", kernel_size=3, groups=2)
    features = jax.random.normal(jax.random.key(0), (2, 5, 4, 6))
    variables = layer.init(jax.random.key(1), features)
    variables = jax.tree.map(lambda x: x + 0.1, variables)
    level = reassembly_levels(layer, variables, features)[""]
    assert (level.scale, level.size) == ("3/2", (5, 4))
    chex.assert_trees_all_close(
        reassemble(features, level.kernels, scale=level.scale),
        layer.apply(variables, features),
        atol=1e-6,  # Float32 rounding of kernels that are normalised separately.
    )


class Shared(nn.Module):
    """Up-samples a map twice with one layer."""

    @nn.compact
    def __call__(self, x):
        layer = CARAFE(name="up", kernel_size=3, compressed_channels=2)
        return layer(layer(features=x))


def test_each_call_of_a_layer_is_a_level():
    features = jnp.ones((1, 3, 4, 2))
    variables = Shared().init(jax.random.key(0), features)
    levels = reassembly_levels(Shared(), variables, features)
    assert {name: level.size for name, level in levels.items()} == {
        "up": (3, 4),
        "up#2": (6, 8),
    }
    assert levels["up#2"].kernels.shape == (1, 12, 16, 1, 9)


def test_rematerialised_layers_have_levels():
    class Rematerialised(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.remat(CARAFE)(name="up", compressed_channels=2)(x)

    features = jnp.ones((1, 3, 4, 2))
    variables = Rematerialised().init(jax.random.key(0), features)
    assert list(reassembly_levels(Rematerialised(), variables, features)) == ["up"]


def test_a_model_without_carafe_has_no_levels():
    dense = nn.Dense(2)
    variables = dense.init(jax.random.key(0), jnp.ones((1, 3)))
    assert reassembly_levels(dense, variables, jnp.ones((1, 3))) == {}


def test_scanned_layers_are_refused():
    class Scanned(nn.Module):
        @nn.compact
        def __call__(self, x):
            step = nn.scan(
                lambda layer, x, _: (layer(x), None),
                variable_broadcast="params",
                variable_axes={"intermediates": 0},
                split_rngs={"params": False},
                length=3,
            )
            layer = CARAFE(scale=1, name="same", compressed_channels=2)
            return step(layer, x, None)[0]

    features = jnp.ones((1, 3, 4, 2))
    variables = Scanned().init(jax.random.key(0), features)
    with pytest.raises(ValueError, match=r"`model` must sow .* 'same'"):
        reassembly_levels(Scanned(), variables, features)
