"""ResNet against goldens of PyTorch, and its down-samplers."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from carafe_jax.interop import mmcv_carafe_to_flax, torchvision_resnet_to_flax
from carafe_jax.models.backbones.resnet import (
    Bottleneck,
    DeepStem,
    Layers,
    ResNet,
    ResNet18,
    ResNet50,
    ResNet101,
)
from carafe_jax.models.classifier import Classifier
from carafe_jax.nn import (
    AveragePoolDownsample,
    BatchNorm,
    CARAFEDownsample,
    MaxPoolDownsample,
)

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens" / "models"
CARAFE_BN = functools.partial(CARAFEDownsample, norm=BatchNorm)

SMALL = functools.partial(ResNet, stage_sizes=(1, 1, 1, 1), block=Bottleneck, width=8)
GOLDEN_NETWORKS = {
    "resnet_w8_1111_eval": {"stage_sizes": (1, 1, 1, 1), "width": 8},
    "resnet_w6_1111_train_odd": {"stage_sizes": (1, 1, 1, 1), "width": 6},
    "resnet_w4_3463_eval_odd": {"stage_sizes": (3, 4, 6, 3), "width": 4},
    "resnet_w4_3463_train": {"stage_sizes": (3, 4, 6, 3), "width": 4},
    "resnet_deepstem_eval_odd": {
        "stage_sizes": (1, 1, 1, 1),
        "width": 4,
        "stem": DeepStem,
    },
}


def nhwc(array):
    return np.moveaxis(array, 1, -1) if array.ndim == 4 else array


def cast(tree, dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)


def apply_golden(name, golden, dtype):
    """Outputs (stages, then logits), updated statistics and gradients."""
    train = "train" in name
    backbone = ResNet(block=Bottleneck, param_dtype=dtype, **GOLDEN_NETWORKS[name])
    state = {
        key.removeprefix("state_dict/"): golden[key]
        for key in golden.files
        if key.startswith("state_dict/")
    }
    absent = () if "fc.weight" in state else ("fc",)
    variables = cast(torchvision_resnet_to_flax(state, absent=absent), dtype)
    cotangents = [
        nhwc(golden[f"R/{i}"])
        for i in range(sum(key.startswith("R/") for key in golden.files))
    ]

    def run(params, image):
        apply = functools.partial(
            backbone.apply, train=train, mutable=["batch_stats"] if train else False
        )
        out = apply(
            {
                "params": params["backbone"],
                "batch_stats": variables["batch_stats"]["backbone"],
            },
            image,
        )
        stages: Any
        stages, updated = out if train else (out, {})
        outputs = list(stages)
        if "classifier" in params:
            classifier = params["classifier"]
            pooled = stages.c5.mean((1, 2))
            outputs.append(pooled @ classifier["kernel"] + classifier["bias"])
        loss = sum(jnp.vdot(x, r) for x, r in zip(outputs, cotangents, strict=True))
        return loss, (outputs, updated)

    image = jnp.asarray(nhwc(golden["input/0"]), dtype)
    gradients, (outputs, updated) = jax.jit(
        jax.grad(run, argnums=(0, 1), has_aux=True)
    )(variables["params"], image)
    return outputs, updated, gradients


def agree(ours, reference, tolerance):
    # Relative to the largest value of an array: sums cancel.
    atol = tolerance * max(1e-30, np.max(np.abs(reference)))
    np.testing.assert_allclose(np.float64(ours), reference, rtol=0, atol=atol)


def flat(tree):
    return {
        "/".join(str(key.key) for key in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


# Float64 sums in another order. In float32, ten times what PyTorch itself differs from
# float64 (8.8e-6 at most where the batch is normalised with its own statistics).
@pytest.mark.parametrize(
    ("name", "dtype", "tolerance"),
    [
        ("resnet_w8_1111_eval", "float64", 1e-9),
        *(
            pytest.param(name, "float64", 1e-9, marks=pytest.mark.slow)
            for name in GOLDEN_NETWORKS
            if name != "resnet_w8_1111_eval"
        ),
        ("resnet_w6_1111_train_odd", "float32", 1e-4),
    ],
)
def test_outputs_and_gradients_are_those_of_pytorch(name, dtype, tolerance):
    golden = np.load(GOLDENS / f"{name}.npz")
    with jax.enable_x64(dtype == "float64"):
        outputs, _, (gradients, grad_image) = apply_golden(name, golden, dtype)
        for index, output in enumerate(outputs):
            agree(nhwc_inverse(output), golden[f"ref64_output/{index}"], tolerance)
        agree(nhwc_inverse(grad_image), golden["ref64_grad_input/0"], tolerance)
        recorded = {
            key.removeprefix("ref64_grad_param/"): golden[key]
            for key in golden.files
            if key.startswith("ref64_grad_param/")
        }
        expected = flat(torchvision_resnet_to_flax(recorded, absent=None)["params"])
        ours = flat(gradients)
        assert len(expected) >= 8
        for path, reference in expected.items():
            agree(ours[path], reference, tolerance)


def nhwc_inverse(array):
    return np.moveaxis(np.asarray(array), -1, 1) if array.ndim == 4 else array


@pytest.mark.parametrize(
    "name",
    [
        "resnet_w6_1111_train_odd",
        pytest.param("resnet_w4_3463_train", marks=pytest.mark.slow),
    ],
)
def test_running_statistics_are_those_of_pytorch(name):
    golden = np.load(GOLDENS / f"{name}.npz")
    with jax.enable_x64(True):
        _, updated, _ = apply_golden(name, golden, "float64")
        after = {
            key.removeprefix("state_after/"): golden[key]
            for key in golden.files
            if key.startswith("state_after/")
        }
        expected = flat(
            torchvision_resnet_to_flax(after, absent=None)["batch_stats"]["backbone"]
        )
        ours = flat(updated["batch_stats"])
        assert set(ours) == set(expected)
        for path, reference in expected.items():
            # The recorded ones are float32.
            agree(ours[path], np.float64(reference), 1e-6)


@pytest.mark.parametrize(
    ("make", "count"), [(ResNet50, 25_557_032), (ResNet101, 44_549_160)]
)
def test_parameters_are_as_many_as_torchvision_counts(make, count):
    network = Classifier(make(), classes=1000)
    image = jnp.zeros((1, 32, 32, 3))
    params = jax.eval_shape(network.init, jax.random.key(0), image)["params"]
    assert sum(x.size for x in jax.tree.leaves(params)) == count


def test_carafe_is_in_the_seven_places_of_the_paper():
    image = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(
        ResNet50(downsample=CARAFE_BN).init, jax.random.key(0), image
    )
    encoders = [path for path in flat_shapes(variables["params"]) if "encoder" in path]
    blocks = sorted({path.rsplit("/", 2)[0] for path in encoders})
    assert blocks == [
        "res3_0/downsample",
        "res3_0/shortcut_downsample",
        "res4_0/downsample",
        "res4_0/shortcut_downsample",
        "res5_0/downsample",
        "res5_0/shortcut_downsample",
        "stem/downsample",
    ]


def flat_shapes(tree):
    return {
        "/".join(str(key.key) for key in path): leaf.shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


@pytest.mark.parametrize(
    "downsample", [None, MaxPoolDownsample, AveragePoolDownsample, CARAFE_BN]
)
def test_every_stage_halves_the_map_rounding_up(downsample):
    image = jnp.zeros((2, 65, 47, 3))
    network = ResNet18(width=4, downsample=downsample)
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    stages = jax.eval_shape(network.apply, variables, image)
    assert [x.shape for x in stages] == [
        (2, 17, 12, 4),
        (2, 9, 6, 8),
        (2, 5, 3, 16),
        (2, 3, 2, 32),
    ]


def test_blocks_start_as_their_shortcut():
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 3)))
    network = SMALL(stage_sizes=(2, 1, 1, 1))
    variables = jax.jit(network.init)(jax.random.key(0), image)
    apply = functools.partial(
        network.apply, capture_intermediates=True, mutable="intermediates"
    )
    blocks = jax.jit(apply)(variables, image)[1]["intermediates"]
    np.testing.assert_array_equal(
        blocks["res2_1"]["__call__"][0], blocks["res2_0"]["__call__"][0]
    )


@pytest.mark.weekly
def test_rematerialised_blocks_have_the_same_gradients():
    def gradients(rematerialize):
        image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 33, 32, 3)))
        network = SMALL(
            last_scale_init=nn.initializers.ones,
            rematerialize=rematerialize,
            param_dtype="float64",
        )
        variables = jax.jit(network.init)(jax.random.key(0), image)

        def loss(params):
            stages, _ = network.apply(
                {**variables, "params": params},
                image,
                train=True,
                mutable="batch_stats",
            )
            return jnp.square(stages.c5).mean()

        return jax.jit(jax.grad(loss))(variables["params"])

    with jax.enable_x64(True):
        kept, anew = flat(gradients("nothing")), flat(gradients("blocks"))
    for path, reference in kept.items():
        # The same sums, fused differently.
        agree(anew[path], reference, 1e-9)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_stages_have_the_dtype_and_logits_are_float32(dtype):
    image = jnp.zeros((1, 32, 32, 3))
    network = Classifier(SMALL(dtype=dtype, downsample=CARAFE_BN), classes=5)
    variables = jax.eval_shape(network.init, jax.random.key(0), image)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.eval_shape(network.apply, variables, image).dtype == jnp.float32
    inner = {name: collection["backbone"] for name, collection in variables.items()}
    stages = jax.eval_shape(network.backbone.apply, inner, image)
    assert {x.dtype for x in stages} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
    ("fields", "image", "message"),
    [
        ({}, np.zeros((1, 8, 8)), "`image` must be floating and of rank 4"),
        ({}, np.zeros((1, 8, 8, 3), np.uint8), "`image` must be floating"),
        ({}, np.zeros((1, 0, 8, 3)), "`image` must have at least one pixel"),
        ({"width": 0}, np.zeros((1, 8, 8, 3)), "`width` must be positive, got 0"),
        (
            {"stage_sizes": (1, 1, 1)},
            np.zeros((1, 8, 8, 3)),
            r"`stage_sizes` must be 4 positive ints, got \(1, 1, 1\)",
        ),
        (
            {"rematerialize": "all"},
            np.zeros((1, 8, 8, 3)),
            "`rematerialize` must be 'nothing' or 'blocks', got 'all'",
        ),
    ],
)
def test_wrong_arguments_are_refused(fields, image, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(SMALL(**fields).init, jax.random.key(0), image)


def stage_variables(golden, prefix):
    """Convert the two blocks of a stage, and their CARAFE++ modules as mmcv's."""
    names = {
        "0.conv2.1.": "0.conv2.",
        "1.conv2.0.": "1.conv2.",
        "0.downsample.1.": "0.downsample.0.",
        "0.downsample.2.": "0.downsample.1.",
    }
    modules = {
        "0.conv2.0.": "downsample",
        "0.downsample.0.": "shortcut_downsample",
    }
    plain, carafes = {}, {module: {} for module in modules.values()}
    for key in golden.files:
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix)
        for start, module in modules.items():
            if name.startswith(start):
                carafes[module][name.removeprefix(start)] = golden[key]
                break
        else:
            start = next((start for start in names if name.startswith(start)), "")
            plain[f"layer2.{names.get(start, '')}{name[len(start) :]}"] = golden[key]
    variables = {
        collection: trees["backbone"]
        for collection, trees in torchvision_resnet_to_flax(plain, absent=None).items()
    }
    for module, weights in carafes.items():
        params = mmcv_carafe_to_flax(weights, scale="1/2")["params"]
        variables["params"]["res3_0"][module] = params
    return variables


class CarafedStage(nn.Module):
    """Two bottlenecks, of which the first down-samples with CARAFE++."""

    @nn.compact
    def __call__(self, x):
        dtypes = {"dtype": x.dtype, "param_dtype": x.dtype}
        norm = functools.partial(BatchNorm, **dtypes)
        layers = Layers(
            conv=functools.partial(nn.Conv, use_bias=False, **dtypes),
            norm=norm,
            last_norm=norm,
            downsample=functools.partial(CARAFEDownsample, compressed_channels=64),
        )
        for index in range(2):
            block = Bottleneck(4, 2 - index, layers, name=f"res3_{index}")
            x = block(x, train=False)
        return x


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        ("float64", 1e-9),
        pytest.param("float32", 1e-4, marks=pytest.mark.slow),
    ],
)
def test_stage_with_carafe_agrees_with_pytorch(dtype, tolerance):
    golden = np.load(GOLDENS.parent / "resnet_stage_carafed.npz")
    with jax.enable_x64(dtype == "float64"):
        variables = cast(stage_variables(golden, "state_dict/"), dtype)

        def run(params, image):
            out: Any = CarafedStage().apply({**variables, "params": params}, image)
            return jnp.vdot(out, jnp.asarray(nhwc(golden["R/0"]), dtype)), out

        image = jnp.asarray(nhwc(golden["input/0"]), dtype)
        (gradients, grad_image), out = jax.grad(run, argnums=(0, 1), has_aux=True)(
            variables["params"], image
        )
        agree(nhwc_inverse(out), golden["ref64_output/0"], tolerance)
        agree(nhwc_inverse(grad_image), golden["ref64_grad_input/0"], tolerance)
        expected = flat(stage_variables(golden, "ref64_grad_param/")["params"])
        ours = flat(gradients)
        assert set(ours) == set(expected)
        for path, reference in expected.items():
            agree(ours[path], reference, tolerance)
