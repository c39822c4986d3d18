"""One battery for the launches of every backend, interpreted on the CPU.

Interpreters are slow: by default a few cases run, one for each kind of error that a
launch can have. `CARAFE_BATTERY=full` runs them all.
"""

import os

import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas.backend import BACKENDS, module_of
from carafe_pallas.call import Normalizer

from tests.ops.reassembly.cases import CASES, Case
from tests.pallas.reference import (
    LaunchCase,
    expected,
    to_anchors,
    to_pixels,
    tolerance,
)

NAMES = ["out", "grad_features", "grad_kernels"]

WIDE = {
    "x2": Case(scale=2, kernel_size=5, groups=1, shape=(1, 5, 21, 130)),
    "x2, two groups": Case(scale=2, kernel_size=3, groups=2, shape=(1, 4, 18, 256)),
    "x1/2": Case(scale="1/2", kernel_size=5, groups=1, shape=(1, 9, 37, 128)),
}
MEANS: list[tuple[Normalizer, int]] = [
    ("softmax", -200),
    ("softmax", 200),
    ("softmax", -30000),
    ("normalized_sigmoid", -200),
]


def far(case: Case, normalizer: Normalizer, mean: int) -> LaunchCase:
    """Return a case with logits around `mean`.

    Without a shift, their exponentials would all be zero or infinite, and those of the
    padding in the same block would not.
    """
    return LaunchCase(case, normalizer=normalizer, mean=mean)


LAUNCH_CASES = [
    *(LaunchCase(case) for case in CASES.values()),
    *(LaunchCase(case, normalizer="softmax") for case in CASES.values()),
    *(
        LaunchCase(case, dtype, dtype, normalizer)
        for case in WIDE.values()
        for dtype in ("float32", "bfloat16")
        for normalizer in (None, "softmax")
    ),
    *(
        LaunchCase(CASES[name], normalizer=normalizer)
        for name in ("x2", "x1/2", "x3/2")
        for normalizer in ("sigmoid", "normalized_sigmoid")
    ),
    *(
        far(case, normalizer, mean)
        for case in (CASES["x1/2, two groups"], WIDE["x2"], WIDE["x1/2"])
        for normalizer, mean in MEANS
    ),
    LaunchCase(CASES["x2"], "float16", "float16"),
    LaunchCase(CASES["x2"], "bfloat16", "bfloat16"),
    LaunchCase(CASES["x1/2"], "bfloat16", "float32", "softmax"),
    LaunchCase(CASES["x1/2"], "float32", "bfloat16"),
]

FEW = [
    LaunchCase(CASES["x2"]),
    LaunchCase(CASES["x2, two groups"], normalizer="softmax"),
    LaunchCase(CASES["x1/2, two groups"], normalizer="softmax"),
    LaunchCase(CASES["x3/2"]),
    LaunchCase(CASES["x1/3, unread rows"]),
    LaunchCase(CASES["x1/4, unread last row"]),
    LaunchCase(CASES["x2/5"], normalizer="softmax"),
    LaunchCase(CASES["x2"], normalizer="normalized_sigmoid"),
    far(CASES["x1/2, two groups"], "normalized_sigmoid", -200),
    far(WIDE["x1/2"], "softmax", -200),
    LaunchCase(CASES["x1/2"], "bfloat16", "float32", "softmax"),
    LaunchCase(WIDE["x2, two groups"], "bfloat16", "bfloat16", "softmax"),
    LaunchCase(WIDE["x1/2"], "float32", "float32"),
]


def marks_of(case: LaunchCase) -> pytest.MarkDecorator | tuple[()]:
    """Return the marks of a case: the interpreters need long for many channels."""
    if case.case == WIDE["x1/2"]:
        return pytest.mark.weekly
    return pytest.mark.slow if case.case.shape[-1] > 100 else ()


RUN = [
    pytest.param(case, marks=marks_of(case))
    for case in (LAUNCH_CASES if os.environ.get("CARAFE_BATTERY") == "full" else FEW)
]


def launch(backend, case, name):
    """Run one launch; skip the test if the backend refuses the call."""
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
def test_launch_agrees_with_the_loop(backend, case, name):
    check(launch(backend, case, name), case, name)


def check(got, case, name):
    """Compare the result of a launch with that of the loop."""
    want = getattr(expected(case), name)
    assert got.shape == want.shape
    own = case.kernels_dtype if name == "grad_kernels" else case.features_dtype
    assert got.dtype == own
    scale = np.abs(want).max()
    np.testing.assert_allclose(
        np.float64(got), want, rtol=0, atol=tolerance(case, name) * scale
    )
