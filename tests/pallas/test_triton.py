"""Launches through Triton: precision, missing phases, pipelining, refusals."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas import triton
from carafe_pallas.geometry import Axis
from jax import lax

from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase, expected, to_pixels, tolerance

UP = Case(scale=2, kernel_size=3, groups=1, shape=(1, 5, 6, 8))
DOWN = Case(scale="1/2", kernel_size=3, groups=1, shape=(1, 7, 5, 8))
CROPPED = Case(scale="3/2", kernel_size=3, groups=1, shape=(1, 3, 5, 4))


def launches(case, **options):
    """Return the three launches of a case and their operands, by name."""
    features, kernels, cotangent = case.draw()
    if case.normalizer is None:
        kernels = to_pixels(kernels, case)
    common = {"geometry": case.geometry, "normalizer": case.normalizer}
    common |= {"dtype": features.dtype, **options}
    logits = None if case.normalizer is None else kernels
    return {
        "out": (functools.partial(triton.reassemble, **common), (features, kernels)),
        "grad_features": (
            functools.partial(triton.grad_features, **common),
            (kernels, cotangent),
        ),
        "grad_kernels": (
            functools.partial(triton.grad_kernels, **common),
            (features, cotangent, logits),
        ),
    }


def products(jaxpr):
    """Yield every matrix product of a jaxpr, including those in launches and loops."""
    for equation in jaxpr.eqns:
        if equation.primitive is lax.dot_general_p:
            yield equation
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                yield from products(inner)


@pytest.mark.parametrize("name", ["out", "grad_features", "grad_kernels"])
@pytest.mark.parametrize("kernels_dtype", ["float32", "bfloat16"])
def test_float32_is_multiplied_in_float32(kernels_dtype, name):
    case = LaunchCase(UP, "float32", kernels_dtype)
    launch, operands = launches(case)[name]
    found = list(products(jax.make_jaxpr(launch)(*operands).jaxpr))
    assert found
    for product in found:
        assert {x.aval.dtype for x in product.invars} == {jnp.dtype("float32")}
        assert set(product.params["precision"]) == {lax.Precision.HIGHEST}


@pytest.mark.parametrize("name", ["out", "grad_features", "grad_kernels"])
def test_bfloat16_is_multiplied_as_it_is_and_summed_in_float32(name):
    launch, operands = launches(LaunchCase(UP, "bfloat16", "bfloat16"))[name]
    for product in products(jax.make_jaxpr(launch)(*operands).jaxpr):
        assert {x.aval.dtype for x in product.invars} == {jnp.dtype("bfloat16")}
        assert product.outvars[0].aval.dtype == jnp.float32


@pytest.mark.parametrize("name", ["out", "grad_features", "grad_kernels"])
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid"])
def test_kernels_of_missing_phases_are_not_read(normalizer, name):
    case = LaunchCase(CROPPED, normalizer=normalizer)
    launch, operands = launches(case, interpret=True)[name]
    want = np.asarray(launch(*operands))
    rows, columns = case.geometry.rows, case.geometry.columns
    _, ah, aw, channels = case.kernels_shape
    y = np.arange(ah)[:, None] * rows.up + np.arange(rows.up)
    x = np.arange(aw)[:, None] * columns.up + np.arange(columns.up)
    missing = (y >= rows.output_size)[:, None, :, None]
    missing = missing | (x >= columns.output_size)[None, :, None, :]
    assert missing.any()
    spread = np.repeat(missing.reshape(1, ah, aw, -1), channels // 9, axis=-1)
    operands = tuple(
        np.where(spread, np.nan, a) if np.shape(a) == case.kernels_shape else a
        for a in operands
    )
    got = np.asarray(launch(*operands))
    np.testing.assert_array_equal(got, want)
    if name == "grad_kernels":
        assert not got[spread].any()


@pytest.mark.parametrize("case", [UP, DOWN], ids=str)
@pytest.mark.parametrize("depth", [16, 128])
@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid", "normalized_sigmoid"])
def test_kernels_are_normalised_before_or_inside_a_launch(normalizer, depth, case):
    case = LaunchCase(case, normalizer=normalizer)
    config = triton.TuningConfig(rows=2, columns=4, channels=16, depth=depth)
    launch, operands = launches(case, config=config, interpret=True)["out"]
    want = expected(case).out
    atol = tolerance(case, "out") * np.abs(want).max()
    np.testing.assert_allclose(launch(*operands), want, rtol=0, atol=atol)


@pytest.mark.parametrize("num_stages", [1, 2])
@pytest.mark.parametrize("programs", [1, 2])
@pytest.mark.parametrize("name", ["out", "grad_features"])
def test_blocks_of_channels_are_summed_with_and_without_pipelining(
    name, programs, num_stages
):
    shape = (1, 3, 5, 70)  # Five blocks, of which the last is ragged.
    case = LaunchCase(Case(scale=2, kernel_size=3, groups=1, shape=shape))
    config = triton.TuningConfig(
        rows=2,
        columns=2,
        channels=16,
        depth=64,
        num_stages=num_stages,
        programs=programs,
    )
    launch, operands = launches(case, config=config, interpret=True)[name]
    want = getattr(expected(case), name)
    atol = tolerance(case, name) * np.abs(want).max()
    np.testing.assert_allclose(launch(*operands), want, rtol=0, atol=atol)


def test_call_that_cannot_run_is_refused_with_the_reason():
    call = LaunchCase(UP).call
    assert triton.refusal(call) is None
    wide = dataclasses.replace(call, kernels_dtype=jnp.dtype("float64"))
    assert triton.refusal(wide) == (
        "`kernels_dtype` must be one of float32, bfloat16, float16, got float64"
    )
    long = dataclasses.replace(
        call.geometry, columns=Axis(size=2**26, up=2, down=1, kernel_size=3)
    )
    reason = triton.refusal(dataclasses.replace(call, geometry=long))
    assert reason == f"`H` and `W` must be below {2**26}, got {2**26}"
