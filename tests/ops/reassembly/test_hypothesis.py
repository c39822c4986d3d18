"""Random shapes, scales, windows and groups against the oracle.

Strides may be wider than the window: pixels that no window reads have a gradient of
zero.
"""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas.backend import BACKENDS

from carafe_jax import reassemble
from carafe_jax.nn import CARAFEDownsample
from carafe_jax.ops import interpret_kernels
from tests.ops.reassembly import oracle
from tests.ops.reassembly.cases import (
    Case,
    assert_equal_up_to_rounding,
    expected,
    value_and_gradients,
)

pytest.importorskip("hypothesis")

from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow

PARTS = st.integers(min_value=1, max_value=3)
SIZES = st.integers(min_value=1, max_value=9) | st.integers(min_value=10, max_value=33)
CASES = st.builds(
    lambda n, h, w, channels, groups, kernel_size, up, down: Case(
        scale=Fraction(up, down),
        kernel_size=kernel_size,
        groups=groups,
        shape=(n, h, w, groups * channels),
    ),
    n=st.integers(min_value=0, max_value=2),
    h=SIZES,
    w=SIZES,
    channels=PARTS,
    groups=PARTS,
    kernel_size=st.sampled_from([1, 3, 5]),
    up=PARTS,
    down=st.integers(min_value=1, max_value=4) | st.integers(min_value=5, max_value=16),
)
# Interpreters are slow, and that of Mosaic GPU is the slowest.
EXAMPLES = {"xla": 16, "triton": 4, "mosaic_tpu": 3, "mosaic_gpu": 1}


def drawn(examples):
    return settings(
        max_examples=examples, deadline=None, derandomize=True, database=None
    )


def is_small(case, pixels=600):
    """Return whether the oracle and an interpreter finish a case in a short time."""
    return np.prod(case.output_shape[:3]) * case.kernel_size**2 <= 25 * pixels


@pytest.mark.parametrize("implementation", ["xla", *BACKENDS])
def test_any_sizes_give_the_results_of_the_oracle(implementation):
    float32 = jnp.dtype("float32")

    @drawn(EXAMPLES[implementation])
    @given(case=CASES)
    def run(case):
        assume(is_small(case, 600 if implementation == "xla" else 60))
        if implementation == "mosaic_gpu":  # Its groups are of eight channels.
            n, h, w, c = case.shape
            case = Case(case.scale, case.kernel_size, case.groups, (n, h, w, 8 * c))
        with interpret_kernels():
            results = value_and_gradients(
                *case.draw(float32, float32),
                scale=case.scale,
                implementation=implementation,
            )
        references = zip(*expected(case, float32, float32), strict=True)
        for result, (reference, magnitude) in zip(results, references, strict=True):
            assert_equal_up_to_rounding(
                result, reference, magnitude, terms=case.terms, sums=float32
            )

    run()


@drawn(6)
@given(case=CASES)
def test_second_derivatives_of_any_sizes_are_those_of_the_oracle(case):
    # T(features, kernels, g) is linear in each: <grad_features, v> is T(v, kernels, g),
    # and its gradients are those of the loop with v for the features.
    assume(is_small(case, 200))
    features, kernels, g = (np.float64(x) for x in case.draw(np.float64, np.float64))
    direction = np.cos(features)

    def slope(kernels, g):
        _, pull_back = jax.vjp(
            lambda x: reassemble(x, kernels, scale=case.scale), features
        )
        return jnp.sum(pull_back(g)[0] * direction)

    with jax.enable_x64(True):
        found = jax.jit(jax.grad(slope, (0, 1)))(kernels, g)
    _, grad_kernels = oracle.gradients(direction, kernels, g, scale=case.scale)
    out = oracle.reassemble(direction, kernels, scale=case.scale)
    # Float64 sums of at most some hundred products.
    for got, want in zip(found, (grad_kernels, out), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@drawn(6)
@given(down=st.integers(2, 16), kernel_size=st.sampled_from([3, 5]), h=SIZES, w=SIZES)
def test_a_downsampling_layer_of_any_stride_is_that_of_its_kernels(
    down, kernel_size, h, w
):
    layer = CARAFEDownsample(
        scale=Fraction(1, down), kernel_size=kernel_size, compressed_channels=2
    )
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, h, w, 2)).astype(np.float32)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), features)
    variables = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(x.dtype), shapes)

    @jax.jit
    def run(variables, features):
        def total(variables):
            out, state = layer.apply(variables, features, mutable="intermediates")
            (kernels,) = state["intermediates"]["kernels"]
            return jnp.sum(out**2), (out, kernels)

        gradients, (out, kernels) = jax.grad(total, has_aux=True)(variables)
        return gradients, out, kernels

    gradients, out, kernels = run(variables, features)
    want = oracle.reassemble(features, np.asarray(kernels), scale=Fraction(1, down))
    # Float32 sums of up to 25 products of about 1.
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
    # A softmax does not change where all its logits do, so biases of taps sum to zero.
    bias = np.asarray(gradients["params"]["content_encoder"]["bias"])
    np.testing.assert_allclose(bias.sum(), 0, atol=1e-4 * np.abs(bias).sum() + 1e-6)
    assert np.abs(bias).max() > 0
