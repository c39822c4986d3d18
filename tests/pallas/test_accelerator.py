"""The battery of launches and large maps, compiled for the accelerator at hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas import support
from carafe_pallas.backend import BACKENDS, platform_of

from carafe_jax import ops, reassemble
from carafe_jax.ops.reassembly.layouts import to_pixels
from tests.ops.reassembly.cases import Case
from tests.pallas.reference import LaunchCase, expected, tolerance
from tests.pallas.test_launches import LAUNCH_CASES

pytestmark = pytest.mark.accelerator
NAMES = "out", "grad_features", "grad_kernels"

BIG = [
    LaunchCase(case, dtype, dtype, "softmax")
    for case in (
        Case(scale=2, kernel_size=5, groups=1, shape=(2, 50, 76, 256)),
        Case(scale=2, kernel_size=5, groups=4, shape=(1, 33, 47, 256)),
        Case(scale="1/2", kernel_size=5, groups=1, shape=(4, 57, 55, 256)),
        Case(scale="1/2", kernel_size=5, groups=1, shape=(2, 112, 112, 64)),
        Case(scale="3/2", kernel_size=3, groups=2, shape=(1, 31, 45, 128)),
        Case(scale=2, kernel_size=5, groups=1, shape=(100, 14, 14, 256)),
    )
    for dtype in ("float32", "bfloat16")
]


@functools.cache
def platform():
    device = jax.devices()[0]
    return "cuda" if device.platform == "gpu" else device.platform


@pytest.fixture(params=BACKENDS)
def backend(request):
    name = request.param
    if platform_of(name) != platform():
        pytest.skip(f"{name} needs {platform_of(name)}, this is {platform()}")
    return name


def function(case, backend):
    if case.normalizer is None:
        return functools.partial(
            reassemble, scale=case.case.scale, implementation=backend
        )
    return functools.partial(
        ops.reassemble_logits,
        scale=case.case.scale,
        kernel_size=case.case.kernel_size,
        groups=case.case.groups,
        normalizer=case.normalizer,
        implementation=backend,
    )


def run(case, backend, features, kernels, cotangent):
    """Return output and gradients; kernels and their gradient are by anchor."""
    operator = function(case, backend)

    def call(features, kernels):
        if case.normalizer is None:
            return operator(features, to_pixels(kernels, case.geometry))
        return operator(features, kernels)

    @jax.jit
    def compute(features, kernels, cotangent):
        out, pull_back = jax.vjp(call, features, kernels)
        return out, *pull_back(cotangent)

    return compute(features, kernels, cotangent)


def skip_what_is_refused(case, backend):
    kind = jax.devices()[0].device_kind
    reason = support.refusal(backend, case.call, device_kind=kind)
    if reason is not None:
        pytest.skip(reason)


def poison(case):
    """Fill memory with NaN and free it, so that an unwritten output is detected."""
    sizes = [np.prod(s) for s in (case.case.shape, case.kernels_shape)]
    block = jnp.full((8, int(max(sizes)) * 4), jnp.nan)
    block.block_until_ready()
    block.delete()


@pytest.mark.parametrize("case", LAUNCH_CASES, ids=str)
def test_compiled_launches_agree_with_the_loop(case, backend):
    skip_what_is_refused(case, backend)
    poison(case)
    for name, got in zip(NAMES, run(case, backend, *case.draw()), strict=True):
        want = getattr(expected(case), name)
        atol = tolerance(case, name) * np.abs(want).max()
        np.testing.assert_allclose(np.float64(got), want, rtol=0, atol=atol)


@pytest.mark.parametrize("case", BIG, ids=str)
def test_compiled_launches_agree_with_plain_jax_on_big_maps(case, backend):
    skip_what_is_refused(case, backend)
    arrays = case.draw()
    # In float32, so that only one of the two results is rounded to the dtype.
    wants = run(case, "xla", *(np.float32(x) for x in arrays))
    poison(case)
    for name, got, want in zip(NAMES, run(case, backend, *arrays), wants, strict=True):
        atol = tolerance(case, name) * float(jnp.abs(want).max())
        np.testing.assert_allclose(np.float32(got), np.float32(want), rtol=0, atol=atol)


def test_the_best_implementation_is_a_kernel(backend):
    call = LaunchCase(BIG[0].case).call
    if support.refusal(backend, call, device_kind=jax.devices()[0].device_kind):
        pytest.skip("another backend is the best here")
    features, kernels, _ = BIG[0].case.draw(np.float32, np.float32)
    text = jax.jit(reassemble).lower(features, kernels).as_text()
    assert "custom_call" in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_than_two_to_the_31_elements_are_indexed_correctly(backend):
    if platform_of(backend) != platform():
        pytest.skip(f"{backend} needs {platform_of(backend)}")
    case = LaunchCase(
        Case(scale=2, kernel_size=3, groups=1, shape=(3, 1200, 1200, 256)),
        "bfloat16",
        "bfloat16",
    )
    skip_what_is_refused(case, backend)
    ones = functools.partial(jnp.ones, dtype=jnp.bfloat16)

    @jax.jit
    def corner():
        kernels = ones(case.case.kernels_shape) / 8
        out = reassemble(ones(case.case.shape), kernels, implementation=backend)
        return out[:, -4:, -4:]

    # The last output pixels see four of nine source pixels, those before six or nine.
    assert (
        out_of_corner(corner())
        == [[9 / 8, 9 / 8, 6 / 8, 6 / 8]] * 2 + [[6 / 8, 6 / 8, 4 / 8, 4 / 8]] * 2
    )


def out_of_corner(corner):
    assert bool(jnp.all(corner == corner[-1:, :, :, :1]))
    return np.float64(corner[-1, :, :, 0]).tolist()
