"""Up-sampling by spatial attention, CARAFE++ with kernels of one tap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from carafe_jax.nn import NearestUpsample, SpatialAttentionUpsample
from tests.nn.resamplers.layers import normal, run
from tests.nn.torch_goldens import check_layer


def gate_params(golden, prefix):
    kernel = golden[f"{prefix}/sse.0.cb_unit.0.weight"].transpose(2, 3, 1, 0)
    bias = golden[f"{prefix}/sse.0.cb_unit.0.bias"]
    return {"content_encoder": {"kernel": kernel, "bias": bias}}


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # Float32 rounds sums of 70 values of about 1.
    [("float64", 1e-9), ("float32", 1e-5)],
)
def test_at_scale_1_the_layer_is_the_spatial_gate_of_pytorch(dtype, tolerance):
    layer = SpatialAttentionUpsample(
        scale=1, encoder_kernel_size=1, compressed_channels=None
    )
    with jax.enable_x64(dtype == "float64"):
        check_layer(
            "spatial_attention_sse",
            layer,
            gate_params,
            dtype=jnp.dtype(dtype),
            tolerance=tolerance,
        )


def test_layer_weights_the_nearest_pixel_by_one_number():
    features = normal(0, 1, 4, 5, 6)
    out = run(SpatialAttentionUpsample(compressed_channels=8), features)
    gates = out / run(NearestUpsample(), features)
    # A sigmoid, rounded.
    assert np.all((gates > -1e-6) & (gates < 1 + 1e-6))
    np.testing.assert_allclose(gates, gates[..., :1] + 0 * gates, rtol=1e-4)
