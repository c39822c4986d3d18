"""The choice of an implementation by the platform that is compiled for."""

import functools

import jax
import jax.numpy as jnp
import pytest
from carafe_pallas import support

from carafe_jax import reassemble

FEATURES, KERNELS = jnp.ones((1, 4, 5, 128)), jnp.ones((1, 8, 10, 1, 9))
backends = pytest.mark.parametrize(
    "backend",
    [
        name
        for name in support.BACKENDS
        if name != "mosaic_gpu" or jax.__version_info__ < (0, 11)
    ],
)


@backends
def test_another_platform_is_reported_when_lowering(backend):
    call = functools.partial(reassemble, implementation=backend)
    jax.eval_shape(call, FEATURES, KERNELS)
    message = (
        rf"`implementation='{backend}'` cannot run: it is for "
        rf"'{support.platform_of(backend)}', and the program is compiled for 'cpu'"
    )
    with pytest.raises(NotImplementedError, match=message):
        jax.jit(call).lower(FEATURES, KERNELS)


def test_a_program_for_a_cpu_holds_no_kernel():
    text = jax.jit(reassemble).lower(FEATURES, KERNELS).as_text()
    assert "custom_call" not in text


# Triton of JAX 0.12 asks for a device, or a mesh of abstract ones.
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
