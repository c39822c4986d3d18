"""The operator on every backend, interpreted: calls, derivatives, refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from carafe_pallas import support
from carafe_pallas.backend import BACKENDS

from carafe_jax import ops, reassemble
from tests.ops.reassembly.cases import Case, value_and_gradients
from tests.pallas.reference import LaunchCase, expected, tolerance

UP = Case(scale=2, kernel_size=3, groups=1, shape=(2, 3, 4, 8))
DOWN = Case(scale="1/2", kernel_size=3, groups=1, shape=(1, 5, 6, 8))
backends = pytest.mark.parametrize("backend", BACKENDS)
# Interpreting those for a TPU and for Hopper takes longest.
costly_backends = pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=[] if name == "triton" else pytest.mark.slow)
        for name in BACKENDS
    ],
)


@pytest.fixture(autouse=True)
def interpreted():
    with ops.interpret_kernels():
        yield


def by_logits(case, backend):
    return functools.partial(
        ops.reassemble_logits,
        scale=case.scale,
        kernel_size=case.kernel_size,
        groups=case.groups,
        implementation=backend,
    )


def close(got, want, digits=5):
    scale = np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=0, atol=scale * 10.0**-digits)


@costly_backends
@pytest.mark.parametrize("case", [UP, DOWN], ids=str)
def test_kernels_by_pixel_agree_with_plain_jax(case, backend):
    arrays = case.draw(np.float32, np.float32)
    run = functools.partial(value_and_gradients, *arrays, scale=case.scale)
    # Float32 sums of up to 140 products, in another order.
    jax.tree.map(close, run(implementation=backend), run(implementation="xla"))


@costly_backends
@pytest.mark.parametrize("case", [UP, DOWN], ids=str)
def test_logits_agree_with_the_loop(case, backend):
    launch_case = LaunchCase(case, normalizer="softmax")
    features, logits, cotangent = map(jnp.asarray, launch_case.draw())
    out, pull_back = jax.vjp(by_logits(case, backend), features, logits)
    found = dict(
        zip(
            ("out", "grad_features", "grad_kernels"),
            (out, *pull_back(cotangent)),
            strict=True,
        )
    )
    for name, got in found.items():
        want = getattr(expected(launch_case), name)
        atol = tolerance(launch_case, name) * np.abs(want).max()
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(name, marks=[] if name == "triton" else pytest.mark.weekly)
        for name in BACKENDS
    ],
)
def test_a_gradient_penalty_is_that_of_plain_jax(backend):
    case = Case(scale=2, kernel_size=3, groups=1, shape=(1, 2, 2, 8))
    features, logits, _ = LaunchCase(case, normalizer="softmax").draw()

    def penalty(implementation):
        def loss(features, logits):
            out = by_logits(case, implementation)(features, logits)
            return jnp.sum(jnp.sin(out))

        def norm(features, logits):
            gradients = jax.grad(loss, (0, 1))(features, logits)
            return sum(jnp.sum(x**2) for x in gradients)

        return jax.jit(jax.grad(norm, (0, 1)))(features, logits)

    # Two rounds of float32 sums.
    jax.tree.map(functools.partial(close, digits=4), penalty(backend), penalty("xla"))


@backends
@pytest.mark.parametrize("shared", [False, True])
def test_vmap_adds_to_the_examples(backend, shared):
    case = Case(scale="1/2", kernel_size=3, groups=1, shape=(1, 3, 4, 8))
    features, kernels, _ = case.draw(np.float32, np.float32)
    stacked = np.stack([features, 2 * features]), np.stack([kernels, kernels + 1])
    if shared:
        stacked = stacked[0], jnp.asarray(kernels)

    def run(implementation):
        call = functools.partial(
            reassemble, scale=case.scale, implementation=implementation
        )
        return jax.vmap(call, in_axes=(0, None if shared else 0))(*stacked)

    close(run(backend), run("xla"))


@backends
def test_an_empty_batch_runs(backend):
    out = reassemble(
        jnp.ones((0, 3, 4, 8)), jnp.ones((0, 6, 8, 1, 9)), implementation=backend
    )
    assert out.shape == (0, 6, 8, 8)


@backends
def test_backend_refuses_float64_with_a_message(backend):
    with jax.enable_x64(True):
        features = jax.ShapeDtypeStruct((1, 3, 4, 128), jnp.float64)
        kernels = jax.ShapeDtypeStruct((1, 6, 8, 1, 9), jnp.float64)
        message = rf"`implementation='{backend}'` cannot run: `features` must be of at"
        with pytest.raises(NotImplementedError, match=message):
            jax.eval_shape(
                functools.partial(reassemble, implementation=backend),
                features,
                kernels,
            )


@pytest.mark.parametrize(
    ("backend", "device_kind", "reason"),
    [
        ("mosaic_tpu", "TPU v3", "the TPU must be a v4 or later, got 'TPU v3'"),
        (
            "mosaic_gpu",
            "NVIDIA A100-SXM4-80GB",
            "the GPU must be of the Hopper generation, got 'NVIDIA A100-SXM4-80GB'",
        ),
        (
            "triton",
            "Tesla V100-SXM2-16GB",
            "the GPU must be of sm_80 or later, got 'Tesla V100-SXM2-16GB'",
        ),
    ],
)
def test_a_device_that_is_too_old_is_refused(backend, device_kind, reason):
    call = LaunchCase(UP).call
    refusal = support.refusal(backend, call, device_kind=device_kind)
    assert refusal == reason


@pytest.mark.parametrize(
    ("backend", "device_kind"),
    [
        ("mosaic_tpu", "TPU v5 lite"),
        ("mosaic_tpu", "TPU v6 lite"),
        ("mosaic_gpu", "NVIDIA H100 80GB HBM3"),
        ("mosaic_gpu", "NVIDIA H200"),
        ("triton", "NVIDIA A100-SXM4-80GB"),
        ("triton", "NVIDIA GeForce RTX 4090"),
    ],
)
def test_a_recent_device_is_accepted(backend, device_kind):
    call = LaunchCase(UP).call
    refusal = support.refusal(backend, call, device_kind=device_kind)
    assert refusal is None
