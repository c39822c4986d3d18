"""The operator under JAX's strict settings, which users enable for debugging."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas.backend import BACKENDS

from carafe_jax.ops import (
    interpret_kernels,
    kernels_of_logits,
    reassemble,
    reassemble_logits,
)

NORMALIZERS = ["softmax", "sigmoid", "normalized_sigmoid"]
DTYPES = [("float32", "float32"), ("bfloat16", "float32"), ("float32", "float16")]


@pytest.fixture(autouse=True)
def strict():
    # What is traced already does not promote any more.
    jax.clear_caches()
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.numpy_rank_promotion("raise"))
        stack.enter_context(jax.numpy_dtype_promotion("strict"))
        stack.enter_context(jax.debug_nans(True))
        yield


def draw(shape, dtype):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def second_order(function, *arrays):
    """Return output, both gradients, and the gradients of those."""

    def gradients(*arrays):
        out, pull_back = jax.vjp(function, *arrays)
        return out, pull_back(jnp.cos(out))

    def run(*arrays):
        found, pull_back = jax.vjp(gradients, *arrays)
        return found, pull_back(found)

    return jax.jit(run)(*arrays)


def assert_dtypes(found, dtypes):
    (out, first), second = found
    assert out.dtype == dtypes[0]
    assert [x.dtype for x in (*first, *second)] == [*dtypes, *dtypes]


@pytest.mark.parametrize("dtypes", DTYPES, ids="-".join)
@pytest.mark.parametrize("scale", ["2/3", "1/4"])
def test_reassembly_promotes_nothing_and_makes_no_nan(scale, dtypes):
    features = draw((1, 6, 9, 4), dtypes[0])
    size = (1, 4, 6) if scale == "2/3" else (1, 2, 3)
    kernels = draw((*size, 2, 9), dtypes[1])

    def run(features, kernels):
        return reassemble(features, kernels, scale=scale)

    assert_dtypes(second_order(run, features, kernels), dtypes)


@pytest.mark.parametrize(
    ("dtypes", "normalizer"),
    [
        *((dtypes, "softmax") for dtypes in DTYPES),
        *((DTYPES[1], normalizer) for normalizer in NORMALIZERS[1:]),
    ],
)
def test_reassembly_of_logits_promotes_nothing_and_makes_no_nan(dtypes, normalizer):
    features, logits = draw((1, 3, 4, 2), dtypes[0]), draw((1, 3, 4, 36), dtypes[1])
    logits = logits.at[:, 0].set(-3e4)  # Every sigmoid underflows.

    def run(features, logits):
        return reassemble_logits(features, logits, kernel_size=3, normalizer=normalizer)

    assert_dtypes(second_order(run, features, logits), dtypes)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_kernels_of_logits_promote_nothing_and_make_no_nan(dtype, normalizer):
    logits = draw((1, 3, 4, 36), dtype).at[:, 0].set(-3e4)

    def run(logits):
        return kernels_of_logits(
            logits, size=(3, 4), kernel_size=3, normalizer=normalizer
        )

    (out, first), second = second_order(run, logits)
    assert [x.dtype for x in (out, *first, *second)] == [dtype] * 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtypes", DTYPES[:2], ids="-".join)
def test_kernels_of_every_backend_promote_nothing(dtypes, backend):
    features = jax.ShapeDtypeStruct((1, 3, 4, 8), dtypes[0])
    logits = jax.ShapeDtypeStruct((1, 2, 2, 9), dtypes[1])

    def run(features, logits):
        call = functools.partial(
            reassemble_logits, kernel_size=3, scale="1/2", implementation=backend
        )
        out, pull_back = jax.vjp(call, features, logits)
        return out, pull_back(out)

    with interpret_kernels():
        _, gradients = jax.eval_shape(run, features, logits)
    assert tuple(x.dtype for x in gradients) == dtypes
