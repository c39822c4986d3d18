"""The lowered operator, also for maps that are too large for memory."""

import math
import re

import jax
import jax.numpy as jnp
import pytest

from carafe_jax import reassemble
from tests.ops.reassembly.cases import Case

LARGEST_INT32 = 2**31 - 1
SIDE = 50_000  # Squared it exceeds LARGEST_INT32.


def lower(case, dtype=jnp.float32):
    def run(features, kernels, cotangent):
        out, pullback = jax.vjp(
            lambda x, y: reassemble(x, y, scale=case.scale), features, kernels
        )
        return out, *pullback(cotangent)

    shapes = case.shape, case.kernels_shape, case.output_shape
    return jax.jit(run).lower(*(jax.ShapeDtypeStruct(x, dtype) for x in shapes))


def tensor_shapes(text):
    """Yield the shape of every tensor type, such as tensor<1x5x7xf32>."""
    for sizes in re.findall(r"tensor<([-\dx]+)x[a-z]\w*>", text):
        yield tuple(int(size) for size in sizes.split("x"))


def integer_constants(text):
    for values in re.findall(r"dense<([^>]*)> : tensor<(?:\d+x)*i32>", text):
        yield from (int(value) for value in re.findall(r"-?\d+", values))


@pytest.mark.parametrize("scale", [2, "1/2", "3/2"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_axes_and_indices_fit_int32_where_the_number_of_elements_does_not(
    kernel_size, scale
):
    case = Case(scale, kernel_size, groups=2, shape=(1, SIDE, SIDE, 4))
    lowered = lower(case)
    out, grad_features, grad_kernels = (x.shape for x in lowered.out_info)
    assert (out, grad_features, grad_kernels) == (
        case.output_shape,
        case.shape,
        case.kernels_shape,
    )
    text = lowered.as_text()
    shapes = list(tensor_shapes(text))
    assert case.kernels_shape in shapes
    # An axis that merged two large ones would need indices wider than int32.
    assert all(0 < size <= LARGEST_INT32 for shape in shapes for size in shape)
    assert all(abs(value) <= LARGEST_INT32 for value in integer_constants(text))


def test_shapes_that_overflowed_are_found():
    # Checks the parser that the test above depends on.
    text = "%0 = f : tensor<1x-5x7xf32>, tensor<i32>, tensor<3x4294967296xbf16>"
    assert list(tensor_shapes(text)) == [(1, -5, 7), (3, 2**32)]
    assert list(integer_constants("dense<[1, -7]> : tensor<2xi32>")) == [1, -7]


@pytest.mark.parametrize("shape", [(1, 2000, 1, 1), (1, 1, 2000, 1)])
def test_the_program_does_not_grow_with_the_map(shape):
    # With a slice for each row of a block, compiling a thousand rows took minutes.
    _, h, w, _ = shape
    small = (1, min(h, 40), min(w, 40), 1)
    lines = [
        lower(Case(2, kernel_size=3, groups=1, shape=sizes)).as_text().count("\n")
        for sizes in (small, shape)
    ]
    assert lines[1] <= 1.1 * lines[0]


def test_temporaries_of_the_backward_stay_small():
    # Patches of 25 pixels would take as much memory as 25 maps.
    case = Case("1/2", kernel_size=5, groups=1, shape=(1, 200, 200, 32))
    compiled = lower(case).compile()
    analysis = compiled.memory_analysis()
    assert analysis is not None
    one_map = 4 * math.prod(case.shape)
    assert 0 < analysis.temp_size_in_bytes < 6 * one_map


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_whole_map_is_never_converted_to_float32_in_the_backward(dtype):
    case = Case("1/2", kernel_size=3, groups=1, shape=(1, 600, 600, 32))
    text = lower(case, dtype).as_text()
    converted = "x".join(map(str, case.shape))
    assert f"tensor<{converted}x{'bf16' if dtype == jnp.bfloat16 else 'f16'}>" in text
    assert f"tensor<{converted}xf32>" not in text
