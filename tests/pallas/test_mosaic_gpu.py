"""Launches on Hopper GPUs: channels in groups of eight, missing phases, refusals.

`CARAFE_BATTERY=full` runs all cases.
"""

import os
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas import mosaic_gpu

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase, expected, tolerance
from tests.pallas.test_launches import launch

# Scale, window, groups, shape; dtypes of features and kernels; normalizer.
SIZES: list[Any] = [
    (2, 5, 1, (2, 3, 5, 8), "float32", "float32", None),
    (2, 3, 2, (1, 3, 19, 16), "float16", "float16", "softmax"),
    (2, 7, 1, (1, 2, 3, 8), "float32", "bfloat16", "sigmoid"),
    (2, 3, 1, (1, 1, 1, 8), "float32", "float32", "softmax"),
    (3, 3, 1, (1, 3, 4, 24), "float32", "float32", "normalized_sigmoid"),
    (4, 1, 2, (1, 2, 3, 32), "bfloat16", "bfloat16", None),
    (1, 5, 1, (1, 4, 33, 8), "float32", "float32", None),
    ("1/2", 5, 1, (2, 7, 5, 64), "bfloat16", "float32", "softmax"),
    ("1/2", 3, 2, (1, 8, 19, 48), "float32", "float32", None),
    ("1/3", 5, 1, (1, 7, 5, 16), "float32", "float32", "softmax"),
    ("1/4", 3, 1, (1, 9, 10, 8), "float32", "float32", "normalized_sigmoid"),
    ("3/2", 5, 2, (1, 5, 7, 32), "float32", "float32", "softmax"),
    ("2/3", 3, 1, (1, 7, 8, 8), "float32", "float32", None),
    ("4/3", 3, 1, (1, 4, 4, 8), "float32", "float32", "sigmoid"),
    # More than one block of channels.
    (2, 3, 1, (1, 3, 5, 256), "bfloat16", "bfloat16", "softmax"),
]
CASES = [LaunchCase(Case(*sizes[:4]), *sizes[4:]) for sizes in SIZES]
FEW = [CASES[7], *(pytest.param(CASES[x], marks=pytest.mark.weekly) for x in (1, 11))]
RUN = CASES if os.environ.get("CARAFE_BATTERY") == "full" else FEW
NAMES = ["out", "grad_features", "grad_kernels"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", RUN, ids=str)
@pytest.mark.slow
def test_launch_agrees_with_the_loop(case, name):
    assert mosaic_gpu.refusal(case.call) is None
    got = launch("mosaic_gpu", case, name)
    want = getattr(expected(case), name)
    scale = np.abs(want).max()
    np.testing.assert_allclose(
        np.float64(got), want, rtol=0, atol=tolerance(case, name) * scale
    )


@pytest.mark.slow
def test_kernels_of_missing_phases_have_no_effect():
    case = LaunchCase(Case("3/2", 3, 1, (1, 3, 5, 8)), normalizer="softmax")
    features, kernels, cotangent = case.draw()
    phases = kernels.reshape(*kernels.shape[:3], 3, 3, -1)
    # The last anchors lack their last phases: 3/2 of 3 is 5, of 5 it is 8.
    phases[:, -1, :, 2] = np.nan
    phases[:, :, -1, :, 2] = np.nan
    options = {
        "geometry": case.geometry,
        "normalizer": "softmax",
        "dtype": jnp.float32,
        "interpret": True,
    }
    out = mosaic_gpu.reassemble(features, kernels, **options)
    grad_features = mosaic_gpu.grad_features(kernels, cotangent, **options)
    grad_kernels = mosaic_gpu.grad_kernels(features, cotangent, kernels, **options)
    for result in (out, grad_features, grad_kernels):
        assert np.all(np.isfinite(result))
    missing = np.isnan(kernels)
    assert missing.any()
    np.testing.assert_array_equal(np.asarray(grad_kernels)[missing], 0)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (LaunchCase(Case(2, 5, 1, (1, 4, 4, 12))), "multiple of 8, got 12 / 1"),
        (LaunchCase(Case(2, 5, 4, (1, 4, 4, 16))), "multiple of 8, got 16 / 4"),
        (LaunchCase(Case(4, 7, 8, (1, 4, 4, 64))), "shared memory"),
        (LaunchCase(Case(2, 5, 1, (64, 4096, 4096, 8))), "2\\*\\*31 elements"),
    ],
    ids=["odd channels", "narrow groups", "many kernels", "large"],
)
def test_a_refusal_names_the_rule_and_the_value(case, words):
    with pytest.raises(AssertionError, match=words):
        assert not mosaic_gpu.refusal(case.call)
