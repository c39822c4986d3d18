"""Weights of torchvision's ResNets, converted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.interop import torchvision_resnet_to_flax
from carafe_jax.models import Classifier, ResNet18


def norm(name):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": np.zeros(4, np.float32) for part in parts}


def test_each_weight_finds_its_place():
    weights = {
        "conv1.weight": np.zeros((4, 3, 7, 7), np.float32),
        **norm("bn1"),
        "bn1.num_batches_tracked": np.zeros((), np.int64),
        "layer3.11.conv2.weight": np.zeros((5, 6, 3, 3), np.float32),
        "layer2.0.downsample.0.weight": np.zeros((8, 4, 1, 1), np.float32),
        **norm("layer2.0.downsample.1"),
        "fc.weight": np.zeros((10, 8), np.float32),
        "fc.bias": np.zeros(10, np.float32),
    }
    norms = {"scale": (4,), "bias": (4,)}
    statistics = {"mean": (4,), "var": (4,)}
    assert jax.tree.map(np.shape, torchvision_resnet_to_flax(weights)) == {
        "params": {
            "backbone": {
                "stem": {"conv1": {"kernel": (7, 7, 3, 4)}, "norm1": norms},
                "res4_11": {"conv2": {"kernel": (3, 3, 6, 5)}},
                "res3_0": {
                    "shortcut_conv": {"kernel": (1, 1, 4, 8)},
                    "shortcut_norm": norms,
                },
            },
            "classifier": {"kernel": (8, 10), "bias": (10,)},
        },
        "batch_stats": {
            "backbone": {
                "stem": {"norm1": statistics},
                "res3_0": {"shortcut_norm": statistics},
            }
        },
    }


def test_converted_basic_blocks_are_those_of_the_network():
    network = Classifier(ResNet18(width=4), classes=3)
    expected = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    weights = {
        "conv1.weight": np.zeros((4, 3, 7, 7)),
        **norm("bn1"),
        "fc.weight": np.zeros((3, 32)),
        "fc.bias": np.zeros(3),
    }
    for layer in (1, 2, 3, 4):
        for block in (0, 1):
            for part in (1, 2):
                name = f"layer{layer}.{block}"
                weights[f"{name}.conv{part}.weight"] = np.zeros((1, 1, 3, 3))
                weights |= norm(f"{name}.bn{part}")
        if layer > 1:
            weights[f"layer{layer}.0.downsample.0.weight"] = np.zeros((1, 1, 1, 1))
            weights |= norm(f"layer{layer}.0.downsample.1")
    converted = torchvision_resnet_to_flax(weights)
    assert jax.tree.structure(converted) == jax.tree.structure(dict(expected))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "names of a torchvision ResNet, got no name"),
        (
            {"layer5.0.conv1.weight": np.zeros((1, 1, 1, 1))},
            "got layer5.0.conv1.weight",
        ),
        ({"features.0.weight": np.zeros(3)}, "got features.0.weight"),
        ({"conv1.weight": np.zeros((2, 3))}, r"'conv1.weight'\]` must have 4 axes"),
        ({"fc.weight": np.zeros((2, 3, 1, 1))}, r"'fc.weight'\]` must have 2 axes"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        torchvision_resnet_to_flax(weights)
