"""RoIAlign of mmcv, forward and gradient, and the features of whole detectors."""

import functools
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.ops import Boxes, roi_align, roi_levels
from tests import detection_goldens
from tests.detection_goldens import CASES, STRIDES, check_close

FOLDER = pathlib.Path(__file__).parents[2] / "goldens"

jitted_levels = jax.jit(
    functools.partial(roi_levels, levels=4), static_argnames="finest_scale"
)


def nhwc(x):
    return np.moveaxis(x, 1, -1)


def boxes_of(rois, images, dtype):
    """Give each image all slots: slot i is valid where roi i is of that image."""
    valid = rois[:, 0] == np.arange(images)[:, None]
    coordinates = np.where(valid[..., None], rois[:, 1:], 0).astype(dtype)
    return Boxes(jnp.asarray(coordinates), jnp.asarray(valid))


def align_and_pull_back(features, rois, cotangent, **options):
    """Return the features of the rois, and the gradient of the map."""
    boxes = boxes_of(rois, len(features), features.dtype)
    images, slots = rois[:, 0].astype(int), np.arange(len(rois))

    def align(features):
        return roi_align([features], boxes, **options)[images, slots]

    @jax.jit
    def align_and_pull(features):
        out, pull = jax.vjp(align, features)
        return out, pull(jnp.asarray(cotangent, out.dtype))[0]

    return align_and_pull(features)


@pytest.mark.parametrize("output_size", [7, 14])
def test_elongated_regions_and_their_gradients_are_those_of_mmcv(output_size):
    file = FOLDER / "detection" / f"roi_align_elongated_{output_size}.npz"
    golden = np.load(file)
    with jax.enable_x64(True):
        out, grad = align_and_pull_back(
            jnp.asarray(nhwc(golden["features"]), np.float64),
            golden["rois"].astype(np.float64),
            nhwc(golden["R"]),
            strides=[4],
            output_size=output_size,
        )
    chex.assert_trees_all_close(out, nhwc(golden["ref64_output"]), rtol=0, atol=1e-12)
    # The gradient is stored in float32.
    expected = nhwc(golden["ref64_grad_features"]).astype(np.float64)
    scale = np.abs(expected).max()
    chex.assert_trees_all_close(grad, expected, rtol=0, atol=1e-7 * scale)


def test_elongated_regions_are_close_in_float32():
    golden = np.load(FOLDER / "detection" / "roi_align_elongated_14.npz")
    out, grad = align_and_pull_back(
        jnp.asarray(nhwc(golden["features"])),
        golden["rois"],
        nhwc(golden["R"]),
        strides=[4],
        output_size=14,
    )
    for found, name in ((out, "ref64_output"), (grad, "ref64_grad_features")):
        expected = nhwc(golden[name]).astype(np.float32)
        scale = np.abs(expected).max()
        # mmcv in float32 differs as much: positions near 80 have steps of 8e-6.
        chex.assert_trees_all_close(found, expected, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("roi_align_sr0_aligned", {"strides": [4], "output_size": 7}),
        (
            "roi_align_sr2_aligned",
            {"strides": [8], "output_size": (4, 5), "sampling_ratio": 2},
        ),
    ],
)
def test_small_cases_are_those_of_mmcv(name, options):
    golden = np.load(FOLDER / "models" / f"{name}.npz")
    with jax.enable_x64(True):
        out, grad = align_and_pull_back(
            jnp.asarray(nhwc(golden["input/0"]), np.float64),
            golden["input/1"].astype(np.float64),
            nhwc(golden["R/0"]),
            **options,
        )
    chex.assert_trees_all_close(out, nhwc(golden["ref64_output/0"]), rtol=0, atol=1e-12)
    expected = nhwc(golden["ref64_grad_input/0"])
    chex.assert_trees_all_close(grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_levels_of_proposals_are_those_of_the_detectors(name):
    golden = detection_goldens.load(name)
    finest_scale = detection_goldens.describe(name)["ctor"]["finest_scale"]
    boxes = golden["ref64_test/rois"][:, 1:]
    with jax.enable_x64(True):
        levels = jitted_levels(boxes, finest_scale=finest_scale)
    np.testing.assert_array_equal(levels, golden["test/roi_levels"])


def test_features_of_proposals_are_those_of_the_detector():
    # Those of the other detectors are compared in `models/detection`, by the logits.
    name = CASES[0]
    golden = detection_goldens.load(name)
    finest_scale = detection_goldens.describe(name)["ctor"]["finest_scale"]
    rois = golden["ref64_test/rois"]
    with jax.enable_x64(True):
        first = rois[: len(golden["ref64_test/roi_feats"])]
        pyramid = [
            jnp.asarray(nhwc(golden[f"ref64_test/neck/{level}"]), np.float64)
            for level in range(4)
        ]
        align = functools.partial(
            roi_align,
            strides=STRIDES[:4],
            output_size=7,
            finest_scale=finest_scale,
        )
        found = jax.jit(align)(pyramid, boxes_of(first, len(pyramid[0]), np.float64))
    features = found[first[:, 0].astype(int), np.arange(len(first))]
    expected = nhwc(golden["ref64_test/roi_feats"])
    check_close(features, expected, name=name, stage="test/roi_feats")


def test_levels_are_those_of_mmdetection():
    golden = np.load(FOLDER / "models" / "mask_paste_and_levels.npz")
    levels = jitted_levels(golden["level_rois"][:, 1:])
    np.testing.assert_array_equal(levels, golden["levels"])
