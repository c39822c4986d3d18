"""Programs exported for a batch of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

import carafe_jax


def exported(scale, platform, **options):
    (n,) = export.symbolic_shape("n")
    out = (int(6 * scale), int(6 * scale))
    run = jax.jit(
        lambda features, kernels: carafe_jax.reassemble(
            features, kernels, scale=SCALES[scale], **options
        )
    )
    shapes = (
        jax.ShapeDtypeStruct((n, 6, 6, 4), jnp.float32),
        jax.ShapeDtypeStruct((n, *out, 1, 25), jnp.float32),
    )
    return run, export.export(run, platforms=[platform])(*shapes), out


SCALES = {2: 2, 0.5: "1/2"}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("batch", [1, 3])
def test_batch_of_any_size_gives_what_the_operator_gives(scale, batch):
    run, program, out = exported(scale, "cpu")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(batch, 6, 6, 4)).astype(np.float32)
    kernels = rng.normal(size=(batch, *out, 1, 25)).astype(np.float32)
    # The same sums, in blocks of another size.
    np.testing.assert_allclose(
        program.call(features, kernels), run(features, kernels), atol=1e-5
    )


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_run_plain_jax_for_a_batch_of_any_size(platform):
    _, program, _ = exported(2, platform)
    text = program.mlir_module()
    assert "tpu_custom_call" not in text
    assert "triton" not in text
    assert "mosaic" not in text


def test_kernel_asked_for_by_name_refuses_a_batch_of_any_size():
    with pytest.raises(
        NotImplementedError, match="batch and maps must be of known sizes, got n maps of 6 x 6"
    ):
        exported(2, "tpu", implementation="mosaic_tpu")
