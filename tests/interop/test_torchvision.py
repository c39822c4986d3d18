"""Weights of torchvision's ResNets, converted."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import torchvision_resnet_to_flax
from carafe_jax.models import Classifier, ResNet, ResNet18, ResNet50, ResNet101
from carafe_jax.models.backbones import Bottleneck, DeepStem
from carafe_jax.nn import DeformableConv


def norm(name, channels=4):
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": np.zeros(channels, np.float32) for part in parts}


def resnet(*, sizes=(1, 1, 1, 1), bottleneck=False, deep=False, width=4):
    """Weights of a ResNet, in torch's order."""
    weights = {}

    def add(conv, bn, *shape):
        weights[f"{conv}.weight"] = np.zeros(shape, np.float32)
        weights.update(norm(bn, shape[0]))
        return shape[0]

    channels = 3
    for i in range(1, 4 if deep else 2):
        channels = add(f"conv{i}", f"bn{i}", width, channels, 3, 3)
    for stage, blocks in enumerate(sizes):
        inner = width * 2**stage
        for block in range(blocks):
            name, before = f"layer{stage + 1}.{block}", channels
            last = 4 * inner if bottleneck else inner
            for i, out in enumerate(
                (inner, inner, last) if bottleneck else (inner, last)
            ):
                names = f"{name}.conv{i + 1}", f"{name}.bn{i + 1}"
                channels = add(*names, out, channels, 3, 3)
            if block == 0 and before != channels:
                names = f"{name}.downsample.0", f"{name}.downsample.1"
                add(*names, channels, before, 1, 1)
    weights["fc.weight"] = np.zeros((3, channels), np.float32)
    weights["fc.bias"] = np.zeros(3, np.float32)
    return weights


DEFORMABLE = ResNet(
    (1, 1, 1, 1),
    Bottleneck,
    width=4,
    spatial_conv=(None, DeformableConv, DeformableConv, DeformableConv),
)


def without(weights, *names):
    return {name: x for name, x in weights.items() if name not in names}


def deformable(weights, *, name="conv2.conv_offset"):
    """Weights of a ResNet of bottlenecks whose stages from the second on are DCNv2."""
    offsets = {}
    for key, kernel in weights.items():
        if re.fullmatch(r"layer[2-4]\.\d+\.conv2\.weight", key):
            conv = key.replace("conv2.weight", name)
            offsets[f"{conv}.weight"] = np.zeros((27, kernel.shape[1], 3, 3), "f4")
            offsets[f"{conv}.bias"] = np.zeros(27, np.float32)
    return weights | offsets


def test_each_weight_finds_its_place():
    weights = {
        "conv1.weight": np.zeros((4, 3, 7, 7), np.float32),
        **norm("bn1"),
        "bn1.num_batches_tracked": np.zeros((), np.int64),
        "layer3.11.conv2.weight": np.zeros((5, 6, 3, 3), np.float32),
        "layer2.0.downsample.0.weight": np.zeros((8, 4, 1, 1), np.float32),
        **norm("layer2.0.downsample.1", 8),
        "fc.weight": np.zeros((10, 8), np.float32),
        "fc.bias": np.zeros(10, np.float32),
    }
    norms = {"scale": (4,), "bias": (4,)}
    statistics = {"mean": (4,), "var": (4,)}
    converted = torchvision_resnet_to_flax(weights, absent=None)
    assert jax.tree.map(np.shape, converted) == {
        "params": {
            "backbone": {
                "stem": {"conv1": {"kernel": (7, 7, 3, 4)}, "norm1": norms},
                "res4_11": {"conv2": {"kernel": (3, 3, 6, 5)}},
                "res3_0": {
                    "shortcut_conv": {"kernel": (1, 1, 4, 8)},
                    "shortcut_norm": {"scale": (8,), "bias": (8,)},
                },
            },
            "classifier": {"kernel": (8, 10), "bias": (10,)},
        },
        "batch_stats": {
            "backbone": {
                "stem": {"norm1": statistics},
                "res3_0": {"shortcut_norm": {"mean": (8,), "var": (8,)}},
            }
        },
    }


@pytest.mark.parametrize(
    ("network", "weights"),
    [
        (ResNet18(width=4), resnet(sizes=(2, 2, 2, 2))),
        (ResNet50(width=4), resnet(sizes=(3, 4, 6, 3), bottleneck=True)),
        (
            ResNet50(width=4, stem=DeepStem),
            resnet(sizes=(3, 4, 6, 3), bottleneck=True, deep=True),
        ),
        (DEFORMABLE, deformable(resnet(bottleneck=True))),
        (DEFORMABLE, deformable(resnet(bottleneck=True), name="conv2_offset")),
    ],
    ids=["basic", "bottleneck", "deep stem", "deformable", "old deformable"],
)
def test_converted_weights_are_those_of_the_network(network, weights):
    network = Classifier(network, classes=3)
    expected = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    converted = torchvision_resnet_to_flax(weights)
    assert jax.tree.structure(converted) == jax.tree.structure(dict(expected))


@pytest.mark.parametrize(
    "weights",
    [
        resnet(sizes=(2, 1, 1, 1)),
        resnet(sizes=(2, 1, 1, 1), bottleneck=True),
        deformable(resnet(bottleneck=True)),
    ],
    ids=["basic", "bottleneck", "deformable"],
)
def test_each_missing_array_is_named(weights):
    for name in weights:
        with pytest.raises(RefusedError, match=rf"missing {re.escape(name)}\..*absent"):
            torchvision_resnet_to_flax(without(weights, name))


@pytest.mark.parametrize("kind", ["plain", "offsets"])
def test_each_array_of_another_size_is_named(kind):
    plain = resnet(bottleneck=True)
    weights = plain if kind == "plain" else deformable(plain)
    names = weights if kind == "plain" else weights.keys() - plain.keys()
    # Every third: all kinds of arrays are among them.
    for name in sorted(names)[::3]:
        array = weights[name]
        wrong = np.concatenate([array, array])
        with pytest.raises(RefusedError, match=r"`state_dict\['.*'\]` must have shape"):
            torchvision_resnet_to_flax({**weights, name: wrong})
        with pytest.raises(
            RefusedError, match=rf"{re.escape(name)}'\]` must have rank \d"
        ):
            torchvision_resnet_to_flax({**weights, name: array[None]})


def test_stage_that_is_cut_off_is_missing():
    weights = resnet()
    cut = {name: x for name, x in weights.items() if not name.startswith("layer4")}
    with pytest.raises(
        RefusedError, match=r"missing layer4\.0\.conv1\.weight, .* more"
    ):
        torchvision_resnet_to_flax(cut)
    converted = torchvision_resnet_to_flax(cut, absent=["layer4"])
    assert "res5_0" not in converted["params"]["backbone"]


def test_backbone_is_converted_where_the_classifier_is_meant_to_be_absent():
    weights = without(resnet(), "fc.weight", "fc.bias")
    with pytest.raises(
        RefusedError, match=r"missing fc\.weight, fc\.bias\. .*\('fc',\)"
    ):
        torchvision_resnet_to_flax(weights)
    converted = torchvision_resnet_to_flax(weights, absent=("fc",))
    assert set(converted["params"]) == {"backbone"}


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (("fc",), r"`absent` must name modules that are not in .*, got 'fc': it has"),
        (("layer9",), "`absent` must name modules of a torchvision ResNet, got 'lay"),
        ("fc", r"`absent` must be a sequence of names, \('fc',\), got 'fc'"),
    ],
)
def test_absent_modules_that_do_not_fit_are_refused(absent, message):
    with pytest.raises(RefusedError, match=message):
        torchvision_resnet_to_flax(resnet(), absent=absent)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, r"names of a torchvision ResNet: missing conv1\.weight, .* more\."),
        (
            {"layer5.0.conv1.weight": np.zeros((1, 1, 1, 1))},
            "unexpected layer5.0.conv1",
        ),
        ({"features.0.weight": np.zeros(3)}, "unexpected features.0.weight"),
        (resnet() | {"conv1.bias": np.zeros(4)}, r": unexpected conv1\.bias\.$"),
        (
            {f"backbone.{name}": x for name, x in resnet().items()},
            r"All names begin with 'backbone\.': remove that prefix\.",
        ),
        (None, "`state_dict` must map names to arrays, .* got a NoneType"),
        ({1: np.zeros(3)}, "names of `state_dict` must be strings, got 1"),
    ],
)
def test_wrong_weights_are_refused(weights, message):
    with pytest.raises(RefusedError, match=message):
        torchvision_resnet_to_flax(weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "make"), [("resnet18", ResNet18), ("resnet101", ResNet101)]
)
def test_outputs_are_those_of_torchvision_at_random_weights(name, make):
    torch = pytest.importorskip("torch", reason="torchvision needs torch")
    torchvision = pytest.importorskip(
        "torchvision", reason="the reference is torchvision's own network"
    )
    torch.manual_seed(0)
    network = torchvision.models.get_model(name).eval()
    image = torch.randn(2, 3, 65, 47)
    with torch.no_grad():
        expected = network(image).numpy()
    variables = torchvision_resnet_to_flax(network.state_dict())
    ours = jax.jit(Classifier(make(), classes=1000).apply)(
        variables, image.numpy().transpose(0, 2, 3, 1)
    )
    # Float32 through up to 101 layers, whose sums are in another order.
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())
