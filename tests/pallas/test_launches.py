"""One battery for the launches of every backend, interpreted on the CPU.

Interpreters are slow: by default a few cases run, one for each thing that a kernel can
get wrong. `CARAFE_BATTERY=full` runs them all.
"""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas.backend import BACKENDS, module_of
from carafe_pallas.call import Normalizer

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import (
    LaunchCase,
    expected,
    to_anchors,
    to_pixels,
    tolerance,
)

NAMES = ["out", "grad_features", "grad_kernels"]

GEOMETRIES = [
    Case(scale=2, kernel_size=5, groups=1, shape=(2, 5, 7, 6)),
    Case(scale=2, kernel_size=3, groups=2, shape=(1, 3, 19, 4)),
    Case(scale=2, kernel_size=7, groups=1, shape=(1, 2, 3, 2)),
    Case(scale=2, kernel_size=1, groups=1, shape=(1, 1, 1, 1)),
    Case(scale=3, kernel_size=3, groups=1, shape=(1, 3, 4, 4)),
    Case(scale=4, kernel_size=1, groups=2, shape=(1, 2, 3, 4)),
    Case(scale=1, kernel_size=5, groups=1, shape=(1, 4, 9, 3)),
    Case(scale="1/2", kernel_size=5, groups=1, shape=(2, 7, 6, 5)),
    Case(scale="1/2", kernel_size=3, groups=2, shape=(1, 8, 19, 4)),
    Case(scale="1/3", kernel_size=5, groups=1, shape=(1, 7, 5, 2)),
    Case(scale="1/4", kernel_size=3, groups=1, shape=(1, 9, 10, 2)),
    Case(scale="3/2", kernel_size=5, groups=2, shape=(1, 5, 7, 4)),
    Case(scale="2/3", kernel_size=3, groups=1, shape=(1, 7, 8, 3)),
    Case(scale="4/3", kernel_size=3, groups=1, shape=(1, 4, 4, 1)),
    # No window reads two of three rows and columns.
    Case(scale="1/3", kernel_size=1, groups=1, shape=(1, 7, 9, 8)),
    # No window reads the last row and column.
    Case(scale="1/4", kernel_size=3, groups=1, shape=(1, 8, 64, 2)),
    Case(scale="2/5", kernel_size=3, groups=1, shape=(1, 10, 11, 8)),
    Case(scale="1/16", kernel_size=3, groups=1, shape=(1, 32, 48, 8)),
]
WIDE = [
    Case(scale=2, kernel_size=5, groups=1, shape=(1, 5, 21, 130)),
    Case(scale=2, kernel_size=3, groups=2, shape=(1, 4, 18, 256)),
    Case(scale="1/2", kernel_size=5, groups=1, shape=(1, 9, 37, 128)),
]
MEANS: list[tuple[Normalizer, int]] = [
    ("softmax", -200),
    ("softmax", 200),
    ("softmax", -30000),
    ("normalized_sigmoid", -200),
]
# The exponentials of these logits are all zero or infinite; those of the other logits
# in their block are not.
FAR = [
    LaunchCase(case, normalizer=normalizer, mean=mean)
    for case in (GEOMETRIES[8], WIDE[0], WIDE[2])
    for normalizer, mean in MEANS
]
CASES = [
    *(LaunchCase(case) for case in GEOMETRIES),
    *(LaunchCase(case, normalizer="softmax") for case in GEOMETRIES),
    *(
        LaunchCase(case, dtype, dtype, normalizer)
        for case in WIDE
        for dtype in ("float32", "bfloat16")
        for normalizer in (None, "softmax")
    ),
    *(
        LaunchCase(GEOMETRIES[index], normalizer=normalizer)
        for index in (0, 7, 11)
        for normalizer in ("sigmoid", "normalized_sigmoid")
    ),
    *FAR,
    LaunchCase(GEOMETRIES[0], "float16", "float16"),
    LaunchCase(GEOMETRIES[0], "bfloat16", "bfloat16"),
    LaunchCase(GEOMETRIES[7], "bfloat16", "float32", "softmax"),
    LaunchCase(GEOMETRIES[7], "float32", "bfloat16"),
]

FEW = [
    LaunchCase(GEOMETRIES[0]),
    LaunchCase(GEOMETRIES[1], normalizer="softmax"),
    LaunchCase(GEOMETRIES[8], normalizer="softmax"),
    LaunchCase(GEOMETRIES[11]),
    LaunchCase(GEOMETRIES[14]),
    LaunchCase(GEOMETRIES[15]),
    LaunchCase(GEOMETRIES[16], normalizer="softmax"),
    LaunchCase(GEOMETRIES[0], normalizer="normalized_sigmoid"),
    FAR[3],
    FAR[8],
    LaunchCase(GEOMETRIES[7], "bfloat16", "float32", "softmax"),
    LaunchCase(WIDE[1], "bfloat16", "bfloat16", "softmax"),
    LaunchCase(WIDE[2], "float32", "float32"),
]
RUN = [
    # Many channels take long to interpret.
    pytest.param(case, marks=pytest.mark.slow if case.case.shape[-1] > 100 else [])
    for case in (CASES if os.environ.get("CARAFE_BATTERY") == "full" else FEW)
]


def launch(backend, case, name):
    """Run one launch, or skip where the backend says in words that it cannot."""
    module = module_of(backend)
    reason = module.refusal(case.call)
    if reason is not None:
        pytest.skip(reason)
    features, kernels, cotangent = map(jnp.asarray, case.draw())
    by_pixel = case.normalizer is None and module.KERNELS_BY_PIXEL
    if by_pixel:
        kernels = to_pixels(kernels, case)
    options = {
        "geometry": case.geometry,
        "normalizer": case.normalizer,
        "interpret": True,
    }
    match name:
        case "out":
            run = module.reassemble
            return run(features, kernels, dtype=features.dtype, **options)
        case "grad_features":
            run = module.grad_features
            return run(kernels, cotangent, dtype=features.dtype, **options)
        case _:
            run = module.grad_kernels
            logits = None if case.normalizer is None else kernels
            got = run(features, cotangent, logits, dtype=kernels.dtype, **options)
            return to_anchors(got, case) if by_pixel else got


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", RUN, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_launch_returns_what_the_loop_does(backend, case, name):
    check(launch(backend, case, name), case, name)


def check(got, case, name):
    """Compare the result of a launch with the loop's."""
    want = getattr(expected(case), name)
    assert got.shape == want.shape
    own = case.kernels_dtype if name == "grad_kernels" else case.features_dtype
    assert got.dtype == own
    scale = np.abs(want).max()
    np.testing.assert_allclose(
        np.float64(got), want, rtol=0, atol=tolerance(case, name) * scale
    )
