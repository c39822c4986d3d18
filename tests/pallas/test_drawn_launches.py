"""Launches of random sizes, windows, dtypes and normalizers against the float64 loop.

`CARAFE_BATTERY=full` draws fifty times as many cases.
"""

import os
from fractions import Fraction

import pytest
from carafe_pallas.backend import BACKENDS, module_of

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase
from tests.pallas.test_launches import NAMES, check, launch

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

FULL = os.environ.get("CARAFE_BATTERY") == "full"
# The interpreter of Mosaic GPU takes half a minute per case.
EXAMPLES = {"mosaic_tpu": 4, "mosaic_gpu": 2, "triton": 4}
DTYPES = st.sampled_from(["float32", "bfloat16"])


@st.composite
def launch_cases(draw, multiple):
    """Draw a case whose channels per group are a multiple of `multiple` or of 128."""
    normalizer = draw(
        st.sampled_from([None, "softmax", "sigmoid", "normalized_sigmoid"])
    )
    # With one tap, a normalised kernel is 1 and its gradient 0: there is no scale for
    # the tolerance.
    constant = normalizer in ("softmax", "normalized_sigmoid")
    kernel_size = draw(st.sampled_from([3, 5, 7] if constant else [1, 3, 5, 7]))
    # A stride may be wider than the window.
    up, down = draw(st.integers(1, 4)), draw(st.integers(1, 4) | st.integers(5, 16))
    groups = draw(st.integers(1, 3))
    blocks = draw(st.integers(1, 4))
    channels = blocks * draw(st.sampled_from([multiple, multiple, multiple, 128]))
    # About a thousand output pixels: interpreters are slow.
    longest = max(1, min(48, 30 * down // up // kernel_size))
    size = st.integers(1, longest)
    return LaunchCase(
        Case(
            scale=Fraction(up, down),
            kernel_size=kernel_size,
            groups=groups,
            shape=(draw(st.integers(1, 2)), draw(size), draw(size), groups * channels),
        ),
        draw(DTYPES),
        draw(DTYPES),
        normalizer,
        draw(st.sampled_from([0, -200, 200])) if normalizer == "softmax" else 0,
    )


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(x, marks=pytest.mark.weekly if x == "mosaic_gpu" else ())
        for x in BACKENDS
    ],
)
def test_launch_of_any_sizes_agrees_with_the_loop(backend):
    module = module_of(backend)
    multiple = 8 if backend == "mosaic_gpu" else 1

    @settings(
        max_examples=EXAMPLES[backend] * (50 if FULL else 1),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(case=launch_cases(multiple), name=st.sampled_from(NAMES))
    def run(case, name):
        assume(module.refusal(case.call) is None)
        check(launch(backend, case, name), case, name)

    run()
