"""ResNet as the backbone of detectors: deformable convolutions and frozen stages."""

import functools
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.errors import RefusedError
from carafe_jax.interop import torchvision_resnet_to_flax
from carafe_jax.models import LIPBlock, ResNet
from carafe_jax.models.backbones import BasicBlock, Bottleneck
from carafe_jax.nn import BatchNorm, CARAFEDownsample, DeformableConv

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens" / "detection"
DCN_C3_TO_C5 = (None, DeformableConv, DeformableConv, DeformableConv)
CARAFE_BN = functools.partial(
    CARAFEDownsample, compressed_channels=2, kernel_size=3, norm=BatchNorm
)
SMALL = functools.partial(ResNet, (1, 2, 1, 1), Bottleneck, width=2)
# For what is compiled, which takes seconds.
SMALLEST = functools.partial(
    ResNet, (1, 1, 1, 1), BasicBlock, width=2, downsample=CARAFE_BN
)
IMAGE = np.random.default_rng(0).normal(size=(1, 64, 65, 3)).astype(np.float32)


def shapes_of(network):
    variables = jax.eval_shape(network.init, jax.random.key(0), IMAGE)
    return by_path(variables["params"])


def by_path(tree):
    return {
        "/".join(str(key.key) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def drawn(network):
    shapes = jax.eval_shape(network.init, jax.random.key(0), IMAGE)
    rng = np.random.default_rng(1)

    def draw(path, leaf):
        # Positive, so that no unit is dead; small, so that no kernel saturates.
        starts = {"mean": 0, "var": 1}
        value = starts.get(path[-1].key, rng.uniform(0.02, 0.2, leaf.shape))
        return np.full(leaf.shape, value, leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def test_deformable_stages_are_those_of_mmdetection():
    # Those of the other detectors are compared in `models/detection`.
    golden = np.load(GOLDENS / "faster_rcnn_dcnv2_fpn.npz")
    prefix = "state_dict/backbone."
    weights = {
        key.removeprefix(prefix): golden[key]
        for key in golden.files
        if key.startswith(prefix)
    }
    network = ResNet(
        (1, 2, 2, 1),
        Bottleneck,
        width=4,
        spatial_conv=DCN_C3_TO_C5,
        frozen_stages=1,
        param_dtype="float64",
    )
    with jax.enable_x64(True):
        converted = torchvision_resnet_to_flax(weights, absent=("fc",))
        variables = {
            collection: jax.tree.map(jnp.float64, tree["backbone"])
            for collection, tree in converted.items()
        }
        image = jnp.float64(np.moveaxis(golden["input/images"], 1, -1))
        stages = jax.jit(network.apply)(variables, image)
    for index, stage in enumerate(stages):
        reference = golden[f"ref64_test/backbone/{index}"]
        # Some were rounded to float32.
        tolerance = 1e-6 if reference.dtype == np.float32 else 1e-8
        np.testing.assert_allclose(
            np.moveaxis(stage, -1, 1),
            reference,
            rtol=0,
            atol=tolerance * np.max(np.abs(reference)),
        )


@pytest.mark.parametrize(
    ("fields", "blocks"),
    [
        ({}, ["res3_0", "res3_1", "res4_0", "res5_0"]),
        ({"downsample": CARAFE_BN}, ["res3_1"]),
        (
            {"downsample": CARAFE_BN, "conv_after_downsample": "spatial"},
            ["res3_0", "res3_1", "res4_0", "res5_0"],
        ),
    ],
    ids=["strided", "plain after CARAFE++", "deformable after CARAFE++"],
)
def test_deformable_convolutions_are_in_c3_to_c5(fields, blocks):
    shapes = shapes_of(SMALL(spatial_conv=DCN_C3_TO_C5, **fields))
    found = {path.split("/")[0] for path in shapes if "/offset_conv/" in path}
    assert sorted(found) == blocks
    without = shapes_of(SMALL(**{k: v for k, v in fields.items() if k == "downsample"}))
    kept = {path: leaf for path, leaf in shapes.items() if "/offset_conv/" not in path}
    assert kept == without


@pytest.mark.slow
@pytest.mark.parametrize("conv_after_downsample", ["plain", "spatial"])
def test_deformable_backbone_halves_maps_of_any_size(conv_after_downsample):
    network = SMALL(
        downsample=CARAFE_BN,
        spatial_conv=DCN_C3_TO_C5,
        conv_after_downsample=conv_after_downsample,
        frozen_stages=1,
        stem_reassembly="trained",
        rematerialize="blocks",
        dtype=jnp.bfloat16,
    )
    variables = jax.eval_shape(network.init, jax.random.key(0), IMAGE)
    stages = jax.eval_shape(network.apply, variables, IMAGE)
    sizes = [(16, 17), (8, 9), (4, 5), (2, 3)]
    assert [x.shape[1:3] for x in stages] == sizes


@functools.cache
def gradients_of(frozen_stages=-1, stem_reassembly: Any = "frozen"):
    network = SMALLEST(frozen_stages=frozen_stages, stem_reassembly=stem_reassembly)
    variables = drawn(network)

    @jax.jit
    @jax.grad
    def gradient(params):
        stages: Any = network.apply({**variables, "params": params}, IMAGE)
        return sum(jnp.sum(jnp.sin(stage)) for stage in stages)

    return by_path(gradient(variables["params"]))


# Parts of the network whose parameters are frozen.
FROZEN = {
    (0, "frozen"): ("stem/",),
    (1, "frozen"): ("stem/", "res2_0/"),
    (1, "trained"): ("stem/conv1/", "stem/norm1/", "res2_0/"),
}


@pytest.mark.parametrize(
    ("frozen_stages", "stem_reassembly"),
    [
        pytest.param(*case, marks=() if case == (1, "frozen") else pytest.mark.slow)
        for case in FROZEN
    ],
)
def test_frozen_parameters_have_no_gradient_and_others_have(
    frozen_stages, stem_reassembly
):
    network = SMALLEST(frozen_stages=frozen_stages, stem_reassembly=stem_reassembly)
    frozen = FROZEN[frozen_stages, stem_reassembly]
    gradients = gradients_of(frozen_stages, stem_reassembly)
    assert [path for path, x in gradients.items() if not np.any(x != 0)] == [
        path for path in gradients if path.startswith(frozen)
    ]
    for path in gradients:
        matches = any(re.search(x, f"backbone/{path}") for x in network.frozen_patterns)
        assert matches == path.startswith(frozen), path


@pytest.mark.slow
def test_trained_reassembly_has_the_gradient_of_a_network_that_is_not_frozen():
    free, frozen = gradients_of(), gradients_of(1, "trained")
    for path, gradient in frozen.items():
        if np.any(gradient != 0):
            # Sums in another order, in float32.
            atol = 1e-4 * np.max(np.abs(free[path]))
            np.testing.assert_allclose(gradient, free[path], rtol=0, atol=atol)


@pytest.mark.parametrize("stem_reassembly", ["frozen", "trained"])
def test_freezing_changes_no_parameter(stem_reassembly):
    network = functools.partial(SMALL, downsample=CARAFE_BN)
    frozen = network(frozen_stages=2, stem_reassembly=stem_reassembly)
    assert shapes_of(frozen) == shapes_of(network())


@pytest.mark.slow
def test_frozen_norms_keep_their_statistics_in_training():
    network = SMALLEST(frozen_stages=1)
    variables = drawn(network)
    apply = functools.partial(network.apply, train=True, mutable=["batch_stats"])
    _, updates = jax.jit(apply)(variables, IMAGE)
    before, after = map(by_path, (variables["batch_stats"], updates["batch_stats"]))
    for path, statistics in before.items():
        frozen = path.startswith(("stem/", "res2_0/"))
        assert np.array_equal(statistics, after[path]) == frozen, path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"frozen_stages": 5}, "`frozen_stages` must be an int from -1 to 4, got 5"),
        ({"frozen_stages": "stem"}, "`frozen_stages` must be an int from -1 to 4"),
        (
            {"stem_reassembly": True},
            "`stem_reassembly` must be 'frozen' or 'trained', got True",
        ),
        (
            {"conv_after_downsample": "A"},
            "`conv_after_downsample` must be 'plain' or 'spatial', got 'A'",
        ),
        ({"spatial_conv": DeformableConv}, "`spatial_conv` must have four items"),
        ({"spatial_conv": (None,) * 3}, "`spatial_conv` must have four items"),
        (
            {"spatial_conv": (None, None, None, "dcn")},
            "`spatial_conv` must be a class of layers.*pass DeformableConv or",
        ),
        (
            {"spatial_conv": DCN_C3_TO_C5, "block": BasicBlock},
            "`spatial_conv` replaces the 3x3 convolution of `Bottleneck`.*BasicBlock",
        ),
        (
            {"spatial_conv": DCN_C3_TO_C5, "block": LIPBlock},
            "must be None in every stage of a network of LIPBlock",
        ),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    network = ResNet(**({"stage_sizes": (1,) * 4, "block": Bottleneck} | fields))
    with pytest.raises(RefusedError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), IMAGE)
