"""Every implementation of the operator against the oracle, forward and backward."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax import reassemble
from carafe_jax.ops.reassembly import blocks
from tests.ops.reassembly import oracle
from tests.ops.reassembly.cases import (
    CASES,
    Case,
    assert_equal_up_to_rounding,
    expected,
    value_and_gradients,
)

IMPLEMENTATIONS = ["xla"]
ONE_ANCHOR_ROW, ONE_BLOCK = 1, 2**40  # Largest size of a block, in bytes.

# Two rows of anchors or more, so that there is a loop over blocks: in the gradients,
# and with a stride also in the forward.
LOOPED_CASES = [
    Case(scale=2, kernel_size=3, groups=2, shape=(2, 3, 4, 4)),
    Case(scale=1, kernel_size=5, groups=1, shape=(1, 4, 3, 2)),
    Case(scale="1/2", kernel_size=5, groups=2, shape=(1, 7, 6, 4)),
    Case(scale="1/3", kernel_size=1, groups=1, shape=(1, 7, 4, 2)),
    Case(scale="1/4", kernel_size=3, groups=1, shape=(1, 9, 10, 2)),
    Case(scale="2/5", kernel_size=3, groups=1, shape=(1, 10, 11, 2)),
    Case(scale="3/2", kernel_size=3, groups=1, shape=(2, 5, 4, 2)),
    Case(scale="2/3", kernel_size=3, groups=2, shape=(1, 7, 8, 2)),
]
# Few taps, as the effect of a dtype does not depend on the window.
DTYPE_CASES = [
    Case(scale=2, kernel_size=3, groups=2, shape=(1, 3, 4, 4)),
    Case(scale="1/2", kernel_size=3, groups=1, shape=(1, 5, 4, 6)),
]
DTYPES = [
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
    ("float64", "float64"),
    ("bfloat16", "float32"),
    ("float32", "bfloat16"),
    ("float32", "float64"),
    ("float64", "float16"),
]


def check_against_oracle(case, implementation, features_dtype, kernels_dtype):
    features_dtype, kernels_dtype = jnp.dtype(features_dtype), jnp.dtype(kernels_dtype)
    wide = "float64" in (features_dtype, kernels_dtype)
    with jax.enable_x64(wide):
        results = value_and_gradients(
            *case.draw(features_dtype, kernels_dtype),
            scale=case.scale,
            implementation=implementation,
        )
        # A result is summed in the wider of float32 and the dtypes of its two factors.
        # The cotangent has the dtype of the features.
        either = jnp.promote_types(
            jnp.promote_types(features_dtype, kernels_dtype), jnp.float32
        )
        only_features = jnp.promote_types(features_dtype, jnp.float32)
    assert [x.dtype for x in results] == [features_dtype, features_dtype, kernels_dtype]
    for result, reference, magnitude, sums in zip(
        results,
        *expected(case, features_dtype, kernels_dtype),
        (either, either, only_features),
        strict=True,
    ):
        assert_equal_up_to_rounding(
            result, reference, magnitude, terms=case.terms, sums=sums
        )


@pytest.fixture
def set_block_bytes(monkeypatch):
    """Function that sets the size of blocks, and clears the compiled programs."""

    def set_to(size: int) -> None:
        jax.clear_caches()
        monkeypatch.setattr(blocks, "_BLOCK_BYTES", size)

    yield set_to
    jax.clear_caches()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_output_and_gradients_are_those_of_the_oracle(case, implementation):
    check_against_oracle(case, implementation, "float32", "float32")


@pytest.mark.parametrize("case", LOOPED_CASES, ids=str)
def test_blocks_of_one_anchor_row_change_nothing(case, set_block_bytes):
    set_block_bytes(ONE_ANCHOR_ROW)
    check_against_oracle(case, "xla", "float32", "float32")


@pytest.mark.parametrize("scale", [2, "1/2"])
def test_last_block_may_overlap_the_one_before(scale, set_block_bytes):
    # Five rows of anchors in blocks of two, whose size is that of the gradient of the
    # kernels, which reads most.
    case = Case(scale=scale, kernel_size=3, groups=1, shape=(1, 5, 4, 2))
    if scale == "1/2":
        case = dataclasses.replace(case, shape=(1, 9, 4, 2))
    total = 4 * (math.prod(case.shape) + math.prod(case.output_shape))
    set_block_bytes(2 * math.ceil(total / 5) + 64)
    check_against_oracle(case, "xla", "float32", "float32")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtypes", DTYPES, ids="-".join)
@pytest.mark.parametrize("case", DTYPE_CASES, ids=str)
def test_every_dtype_is_summed_in_float32_or_wider(case, dtypes, implementation):
    check_against_oracle(case, implementation, *dtypes)


@pytest.mark.parametrize("dtypes", [("bfloat16", "float32"), ("float32", "float16")])
def test_blocks_of_one_anchor_row_keep_the_dtypes(dtypes, set_block_bytes):
    set_block_bytes(ONE_ANCHOR_ROW)
    check_against_oracle(DTYPE_CASES[1], "xla", *dtypes)


@pytest.mark.parametrize(
    ("block_bytes", "loops"), [(ONE_ANCHOR_ROW, 3), (ONE_BLOCK, 0)]
)
def test_size_of_blocks_determines_the_number_of_loops(
    block_bytes, loops, set_block_bytes
):
    # Checks that the tests of blocks above test a loop.
    set_block_bytes(block_bytes)
    case = Case(scale="1/2", kernel_size=3, groups=1, shape=(1, 8, 6, 2))
    lowered = jax.jit(
        lambda *arrays: value_and_gradients(*arrays, scale=case.scale)
    ).lower(*case.draw("float32", "float32"))
    assert lowered.as_text().count("stablehlo.while") == loops


@pytest.mark.parametrize(
    ("scale", "block_bytes"),
    [
        (2, ONE_BLOCK),
        ("1/2", ONE_BLOCK),
        ("1/2", ONE_ANCHOR_ROW),
        ("3/2", ONE_ANCHOR_ROW),
    ],
)
def test_pixel_is_read_by_its_windows_only(scale, block_bytes, set_block_bytes):
    # A NaN propagates wherever it is read, even with a weight of zero.
    set_block_bytes(block_bytes)
    case = Case(scale=scale, kernel_size=3, groups=1, shape=(1, 6, 9, 2))
    features, kernels, _ = case.draw("float32", "float32")
    one_pixel = np.zeros_like(features)
    one_pixel[:, 3, 4] = 1
    reads = oracle.reassemble(one_pixel, np.ones_like(kernels), scale=scale) > 0
    features[:, 3, 4] = np.nan
    out = jax.jit(lambda x, y: reassemble(x, y, scale=scale))(features, kernels)
    np.testing.assert_array_equal(np.isnan(out), reads)
