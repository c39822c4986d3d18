"""Drawn shapes, scales, windows and groups against the oracle."""

from fractions import Fraction

import jax.numpy as jnp
import pytest

from tests.ops.cases import (
    Case,
    assert_equal_up_to_rounding,
    expected,
    value_and_gradients,
)

pytest.importorskip("hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

PARTS = st.integers(min_value=1, max_value=3)
CASES = st.builds(
    lambda n, h, w, channels, groups, kernel_size, up, down: Case(
        scale=Fraction(up, down),
        kernel_size=kernel_size,
        groups=groups,
        shape=(n, h, w, groups * channels),
    ),
    n=st.integers(min_value=0, max_value=2),
    h=st.integers(min_value=1, max_value=9),
    w=st.integers(min_value=1, max_value=9),
    channels=PARTS,
    groups=PARTS,
    kernel_size=st.sampled_from([1, 3]),
    up=PARTS,
    down=st.integers(min_value=1, max_value=5),
)


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(case=CASES)
@pytest.mark.slow
def test_any_sizes_give_the_results_of_the_oracle(case):
    float32 = jnp.dtype("float32")
    results = value_and_gradients(*case.draw(float32, float32), scale=case.scale)
    references = zip(*expected(case, float32, float32), strict=True)
    for result, (reference, magnitude) in zip(results, references, strict=True):
        assert_equal_up_to_rounding(
            result, reference, magnitude, terms=case.terms, sums=float32
        )
