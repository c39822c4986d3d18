"""Mask heads, against mmdetection's numbers and by hand."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import nn
from carafe_jax.errors import RefusedError
from carafe_jax.models import MaskHead
from tests.models.detection import part_goldens

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"
CARAFE = functools.partial(nn.CARAFEUpsample, compressed_channels=8)
CASES = {
    "maskhead_carafe": {"upsample": CARAFE},
    "maskhead_deconv": {},
    "models/mask_head_bilinear": {"upsample": nn.BilinearUpsample},
    "models/mask_head_nearest": {"upsample": nn.NearestUpsample},
}
ROIS = jnp.ones((3, 4, 4, 5))


def check(name, *, dtype, tolerance):
    with np.load(GOLDENS / f"{name}.npz") as stored:
        golden = dict(stored)
    features = golden["input/0"].shape[1]
    part_goldens.check(
        golden,
        MaskHead(classes=5, features=features, convs=2, **CASES[name]),
        part_goldens.of_mask_head,
        part_goldens.nhwc(golden["input/0"]),
        dtype=dtype,
        tolerance=tolerance,
    )


@pytest.mark.parametrize("name", CASES)
def test_masks_and_gradients_are_those_of_mmdetection(name):
    with jax.enable_x64(True):
        check(name, dtype=jnp.float64, tolerance=1e-9)


@pytest.mark.parametrize("name", ["maskhead_deconv"])
def test_masks_and_gradients_are_those_of_mmdetection_in_float32(name):
    check(name, dtype=jnp.float32, tolerance=2e-5)


def test_initial_kernels_are_those_for_relus():
    head: Any = MaskHead(classes=16, features=32, convs=1)
    params = jax.jit(head.init)(jax.random.key(0), jnp.ones((1, 2, 2, 8)))["params"]
    layers = {
        "conv1": (params["conv1"], 9 * 32),
        "deconv": (params["upsample"]["deconv"], 4 * 32),
        "logits": (params["logits"], 16),
    }
    for name, (layer, fan_out) in layers.items():
        deviation = np.std(layer["kernel"])
        expected = np.sqrt(2 / fan_out)
        np.testing.assert_allclose(deviation, expected, rtol=0.15, err_msg=name)
        assert not np.any(layer["bias"])


def test_logits_are_float32_where_the_computation_is_bfloat16():
    head = MaskHead(classes=2, features=4, dtype=jnp.bfloat16)
    logits, _ = jax.eval_shape(lambda: head.init_with_output(jax.random.key(0), ROIS))
    assert (logits.dtype, logits.shape) == (jnp.float32, (3, 8, 8, 2))


@pytest.mark.parametrize(
    ("fields", "features", "words"),
    [
        ({"classes": None}, ROIS, "`classes` must be a positive int, got None"),
        ({"features": -1}, ROIS, "`features` must be a positive int, got -1"),
        ({"convs": -1}, ROIS, "`convs` must be an int of at least 0, got -1"),
        ({"convs": "4"}, ROIS, "`convs` must be an int of at least 0, got '4'"),
        ({"upsample": "deconv"}, ROIS, "`upsample` must be a class of layers, "),
        ({"upsample": nn.CARAFEDownsample}, ROIS, "`upsample` .* doubles a map"),
        ({"dtype": "bf16"}, ROIS, "`dtype` must be a floating dtype"),
        ({}, ROIS[0], "`features` must have rank 4"),
    ],
)
def test_what_does_not_fit_is_refused(fields, features, words):
    head: Any = MaskHead(**{"classes": 2, "features": 4, **fields})
    with pytest.raises(RefusedError, match=words):
        jax.eval_shape(lambda: head.init(jax.random.key(0), features))
