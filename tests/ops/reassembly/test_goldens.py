"""The operator against goldens of mmcv's kernels, recorded with PyTorch."""

import pathlib
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.ops.reassembly.cases import value_and_gradients

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"

# Name of the file: scale and number of groups.
UP = {
    "up_01": (2, 1),
    "up_02": (2, 4),
    "up_03": (3, 2),
    "up_04": (2, 1),
    "up_05": (4, 1),
    "up_06_scale1": (1, 1),
    "up_07_1x1": (2, 1),
    "up_08": (2, 1),
    "up_10_g2": (2, 2),
}
DOWN = {
    "down_01": ("1/2", 1),
    "down_02_odd": ("1/2", 2),
    "down_03": ("1/3", 1),
    "down_04": ("1/2", 1),
}
EXACT = UP | DOWN
RECORDED = {"up_09_fp16": (2, 1), "mmcv_gpu_fixture": (2, 4)}


def nhwc(array):
    return np.moveaxis(array, 1, -1)


def to_kernels(masks, groups):
    """Split mmcv's channels, group-major, into groups and taps."""
    kernels = nhwc(masks)
    return kernels.reshape(*kernels.shape[:3], groups, -1)


def load(name, prefix=""):
    """Return the inputs and the results, the latter from arrays of the prefix."""
    _, groups = (EXACT | RECORDED)[name]
    golden = np.load(GOLDENS / f"{name}.npz")
    if f"{prefix}out" not in golden:
        prefix = ""
    inputs = (
        nhwc(golden["features"]),
        to_kernels(golden["masks"], groups),
        nhwc(golden["grad_output"]),
    )
    results = (
        nhwc(golden[f"{prefix}out"]),
        nhwc(golden[f"{prefix}grad_features"]),
        to_kernels(golden[f"{prefix}grad_masks"], groups),
    )
    return inputs, results


def check(name, prefix, *, dtype, tolerance):
    inputs, expected = load(name, prefix)
    scale, _ = (EXACT | RECORDED)[name]
    results = value_and_gradients(
        *(jnp.asarray(x, dtype) for x in inputs), scale=Fraction(scale)
    )
    for result, reference in zip(results, expected, strict=True):
        assert result.dtype == dtype
        # Relative to the largest value: sums cancel.
        atol = tolerance * np.max(np.abs(reference))
        np.testing.assert_allclose(
            np.float64(result), np.float64(reference), rtol=0, atol=atol
        )


@pytest.mark.parametrize("name", EXACT)
def test_output_and_gradients_are_those_of_mmcv_in_float64(name):
    # Sums of up to 300 products in another order: 1e-13 is ten times their rounding.
    with jax.enable_x64(True):
        check(name, "ref64_", dtype=jnp.float64, tolerance=1e-13)


@pytest.mark.parametrize("name", ["up_08", "down_04"])
def test_output_and_gradients_are_those_of_mmcv_in_float32(name):
    # From the README of the goldens: both round within 1e-6 of the output's scale.
    check(name, "ref64_", dtype=jnp.float32, tolerance=1e-6)


def test_float16_is_nearer_to_float64_than_mmcv_is():
    # Half a spacing of float16 at the largest value; mmcv sums in float16: 2e-3.
    check("up_09_fp16", "ref64_", dtype=jnp.float16, tolerance=2**-11)


def test_output_and_gradients_are_those_that_mmcv_recorded_on_a_gpu():
    # Float32 on both sides, sums of up to 100 products.
    check("mmcv_gpu_fixture", "", dtype=jnp.float32, tolerance=2e-6)
