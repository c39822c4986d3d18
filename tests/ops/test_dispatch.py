"""The choice of an implementation by the platform that is compiled for."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest
from carafe_pallas.backend import BACKENDS, platform_of

from carafe_jax import reassemble
from carafe_jax.ops import dispatch

FEATURES, KERNELS = jnp.ones((1, 4, 5, 128)), jnp.ones((1, 8, 10, 1, 9))
backends = pytest.mark.parametrize(
    "backend",
    [
        name
        for name in BACKENDS
        if name != "mosaic_gpu" or jax.__version_info__ < (0, 11)
    ],
)


@backends
def test_another_platform_is_reported_when_lowering(backend):
    call = functools.partial(reassemble, implementation=backend)
    jax.eval_shape(call, FEATURES, KERNELS)
    message = (
        rf"`implementation='{backend}'` cannot run: it is for "
        rf"'{platform_of(backend)}', and the program is compiled for 'cpu'"
    )
    with pytest.raises(NotImplementedError, match=message):
        jax.jit(call).lower(FEATURES, KERNELS)


def test_a_program_for_a_cpu_holds_no_kernel():
    text = jax.jit(reassemble).lower(FEATURES, KERNELS).as_text()
    assert "custom_call" not in text


# Triton of JAX 0.12 requires a device, or a mesh of abstract ones.
@pytest.mark.parametrize(
    "platform", ["tpu", "cuda"] if jax.__version_info__ < (0, 11) else ["tpu"]
)
def test_a_program_for_an_accelerator_holds_a_kernel(platform):
    exported = jax.export.export(jax.jit(reassemble), platforms=[platform])(
        FEATURES, KERNELS
    )
    assert "custom_call" in exported.mlir_module()


def test_one_program_serves_all_platforms():
    exported = jax.export.export(jax.jit(reassemble), platforms=["cpu", "tpu"])(
        FEATURES, KERNELS
    )
    assert exported.platforms == ("cpu", "tpu")


@dataclasses.dataclass(frozen=True)
class Sum:
    """A launch of another operator: the sum of two arrays. Only Triton runs it."""

    result: jax.ShapeDtypeStruct

    def plain(self, *operands):
        x, y = operands
        return x + y

    def kernel(self, backend, *operands, device_kind, interpret):
        assert (backend, device_kind, interpret) == ("triton", None, True)
        return 100 * self.plain(*operands)

    def best_first(self, platform):
        return ()

    def refusal(self, backend, *, device_kind):
        return None if backend == "triton" else "it cannot add"


def add(x, y, implementation):
    return dispatch.run(
        Sum(jax.ShapeDtypeStruct(x.shape, x.dtype)),
        *(x, y),
        implementation=implementation,
        device_kind=None,
        interpret=True,
    )


@pytest.mark.parametrize(
    ("implementation", "factor"), [("xla", 1), (None, 1), ("triton", 100)]
)
def test_any_operator_can_be_dispatched(implementation, factor):
    x, y = jnp.arange(6.0).reshape(3, 2), jnp.ones((3, 2))
    run = functools.partial(add, implementation=implementation)
    expected = factor * (x + y)
    assert jnp.array_equal(jax.jit(run)(x, y), expected)
    over_columns = jax.vmap(run, in_axes=(1, 1), out_axes=1)
    assert jnp.array_equal(jax.jit(over_columns)(x, y), expected)


def test_an_operator_that_a_backend_cannot_run_is_refused_with_the_reason():
    message = "`implementation='mosaic_tpu'` cannot run: it cannot add"
    with pytest.raises(NotImplementedError, match=message):
        add(jnp.ones(3), jnp.ones(3), "mosaic_tpu")


def test_equal_calls_are_equal_programs():
    # Otherwise each call would be lowered, and its kernel compiled, separately.
    def twice(features, kernels):
        return [reassemble(features, kernels) for _ in range(2)]

    text = jax.jit(twice).lower(FEATURES, KERNELS).as_text()
    assert text.count("call @reassemble") == 2
    assert text.count("func.func private @reassemble(") == 1
    assert "@reassemble_" not in text
