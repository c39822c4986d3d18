"""Weights of mmdetection's detectors, converted."""

import functools
import json
import math
import pathlib
import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from carafe_jax.errors import RefusedError
from carafe_jax.interop import mmdetection_to_flax
from carafe_jax.models.detection import MMDETECTION_CONFIGS

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens" / "detection"
FULL_SIZE = json.loads((GOLDENS / "full_size_state_dicts.json").read_text())
# It has every part.
WHOLE = "mask_rcnn_r50_fpn_carafe_1x_coco"
NAMES = [
    # The others have other parts of the same.
    pytest.param(name, marks=[] if name == WHOLE else [pytest.mark.slow])
    for name in FULL_SIZE
]


def expected_shapes(name) -> Any:
    """Return the variables of the detector, abstract."""
    detector = MMDETECTION_CONFIGS[name].make(classes=80)
    images, sizes = jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    return jax.eval_shape(detector.init, jax.random.key(0), images, sizes)


def zeros(name):
    """Weights of zeros by mmdetection's names, which take no memory."""
    zero = np.zeros((), np.float32)
    shapes = FULL_SIZE[name]["state_dict"]
    return {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()}


def weights():
    """Small weights of a Mask R-CNN with CARAFE++, in mmdetection's names."""
    with np.load(GOLDENS / "mask_rcnn_fpn_carafe.npz") as golden:
        prefix = "state_dict/"
        return {
            name.removeprefix(prefix): golden[name]
            for name in golden
            if name.startswith(prefix)
        }


def without(weights, *modules):
    """Leave out arrays and modules, by their names."""
    return {
        name: x
        for name, x in weights.items()
        if not any(name == own or name.startswith(f"{own}.") for own in modules)
    }


def test_every_configuration_has_its_detector():
    assert set(MMDETECTION_CONFIGS) == set(FULL_SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_each_configuration_are_those_of_the_detector(name):
    converted = mmdetection_to_flax(zeros(name))
    shapes: dict[str, Any] = flatten_dict(jax.tree.map(np.shape, converted), sep="/")
    expected = flatten_dict(jax.tree.map(jnp.shape, expected_shapes(name)), sep="/")
    assert shapes == expected
    sizes = [math.prod(np.shape(x)) for x in jax.tree.leaves(converted["params"])]
    assert sum(sizes) == FULL_SIZE[name]["parameters"]
    frozen = MMDETECTION_CONFIGS[name].frozen_patterns
    paths = [x.removeprefix("params/") for x in shapes if x.startswith("params/")]
    matching = [x for x in paths if any(re.search(pattern, x) for pattern in frozen)]
    assert len(matching) == len(FULL_SIZE[name]["frozen"])


def test_checkpoint_is_its_weights():
    expected = mmdetection_to_flax(weights())
    checkpoint = {
        "meta": {"epoch": 12},
        "state_dict": {
            "data_preprocessor.mean": np.zeros((3, 1, 1)),
            "data_preprocessor.std": np.ones((3, 1, 1)),
            **weights(),
        },
        "optimizer": {},
    }
    chex.assert_trees_all_equal(mmdetection_to_flax(checkpoint), expected)


def test_first_layer_of_the_box_head_reads_maps_with_channels_last():
    state = weights()
    params = mmdetection_to_flax(state)["params"]["box_head"]["fc1"]
    theirs = state["roi_head.bbox_head.shared_fcs.0.weight"]
    channels = theirs.shape[1] // 49
    features = np.random.default_rng(0).normal(size=(channels, 7, 7))
    np.testing.assert_allclose(
        features.transpose(1, 2, 0).ravel() @ params["kernel"],
        theirs @ features.ravel(),
        rtol=1e-4,
    )


def test_parts_that_are_meant_to_be_absent_are_left_out():
    state = without(weights(), "backbone", "roi_head.bbox_head")
    with pytest.raises(RefusedError, match=r"missing backbone\.conv1\..*absent=\("):
        mmdetection_to_flax(state)
    absent = ["backbone", "roi_head.bbox_head"]
    converted = mmdetection_to_flax(state, absent=absent)
    assert set(converted) == {"params"}
    assert set(converted["params"]) == {"fpn", "rpn", "mask_head"}


def test_mask_head_may_up_sample_without_weights():
    module = "roi_head.mask_head.upsample"
    state = without(weights(), module)
    with pytest.raises(RefusedError, match=rf"missing {module}\.weight, {module}\.bi"):
        mmdetection_to_flax(state)
    converted = mmdetection_to_flax(state, absent=[module])
    assert "upsample" not in converted["params"]["mask_head"]


def test_each_missing_array_is_named():
    state = weights()
    for name in state:
        if "num_batches_tracked" not in name and not name.startswith("backbone.layer"):
            with pytest.raises(RefusedError, match=f"missing {re.escape(name)}"):
                mmdetection_to_flax(without(state, name))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("faster_rcnn_r50_fpn_1x_coco", "neck.lateral_convs.3"),
        ("faster_rcnn_r50_fpn_1x_coco", "neck.fpn_convs"),
        (WHOLE, "neck.upsample_modules.3"),
        (WHOLE, "roi_head.mask_head.convs.1"),
        (WHOLE, "backbone.layer2"),
        (WHOLE, "rpn_head"),
    ],
)
def test_each_missing_module_is_named(name, module):
    with pytest.raises(RefusedError, match=f"missing {re.escape(module)}"):
        mmdetection_to_flax(without(zeros(name), module))


@pytest.mark.parametrize(
    "name",
    [
        "backbone.fc.weight",
        "bbox_head.fc_cls.weight",
        "ema_backbone_conv1_weight",
        "neck.lateral_convs.5.conv.weight",
        "neck.fpn_convs.0.conv.scale",
        "roi_head.bbox_head.shared_fcs.2.weight",
        "roi_head.mask_head.convs.0.bn.weight",
        "rpn_head.rpn_conv.0.conv.weight",
    ],
)
def test_each_unexpected_array_is_named(name):
    state = {**weights(), name: np.zeros(3, np.float32)}
    with pytest.raises(RefusedError, match=rf"unexpected {re.escape(name)}\.$"):
        mmdetection_to_flax(state)


def test_each_array_of_another_size_is_named():
    state = without(weights(), "backbone")
    convert = functools.partial(mmdetection_to_flax, absent=["backbone"])
    for name, array in state.items():
        wrong = np.concatenate([array, array])
        with pytest.raises(RefusedError, match=r"`state_dict\['.*'\]` must have shape"):
            convert({**state, name: wrong})
        message = rf"{re.escape(name)}'\]` must have rank \d"
        with pytest.raises(RefusedError, match=message):
            convert({**state, name: array[None]})


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("neck.lateral_convs.1.conv.weight", (16, 33, 1, 1), "(16, 32, 1, 1)"),
        ("neck.lateral_convs.4.conv.weight", (16, 128, 1, 1), "(16, 128, 3, 3)"),
        ("rpn_head.rpn_reg.weight", (13, 16, 1, 1), "(12, 16, 1, 1)"),
        ("roi_head.bbox_head.shared_fcs.0.weight", (32, 785), "(any, 784)"),
        ("roi_head.bbox_head.fc_reg.weight", (4, 32), "(12, 32)"),
        ("roi_head.mask_head.conv_logits.weight", (1, 16, 1, 1), "(3, 16, 1, 1)"),
    ],
)
def test_shapes_that_do_not_fit_their_neighbours_are_refused(name, shape, words):
    state = {**weights(), name: np.zeros(shape, np.float32)}
    message = rf"{re.escape(name)}'\]` must have shape {re.escape(words)}, to match"
    with pytest.raises(RefusedError, match=message):
        mmdetection_to_flax(state)


def test_box_head_alone_must_have_features_of_seven_by_seven_pixels():
    name = "roi_head.bbox_head.shared_fcs.0.weight"
    state = {name: np.zeros((4, 48), np.float32)}
    with pytest.raises(RefusedError, match=r"a multiple of 7x7 inputs, got \(4, 48\)"):
        mmdetection_to_flax(state, absent=None)


def test_weights_that_are_no_detector_are_refused():
    with pytest.raises(RefusedError, match="names of a detector of mmdetection: miss"):
        mmdetection_to_flax({})
    with pytest.raises(RefusedError, match="`state_dict` must map names to arrays"):
        mmdetection_to_flax([])  # pyright: ignore[reportArgumentType]
    integers = {"rpn_head.rpn_cls.bias": np.zeros(3, np.int32)}
    with pytest.raises(RefusedError, match="must hold floating-point numbers"):
        mmdetection_to_flax(integers, absent=None)
