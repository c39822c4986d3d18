"""Guided up-sampling from the map alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from carafe_jax.nn import BilinearUpsample, GUMUpsample
from tests.nn.resamplers.layers import drawn_variables, normal, run


@pytest.mark.parametrize(
    ("size", "scale"), [((4, 5), 1), ((4, 5), 2), ((4, 5), 3), ((1, 3), 2)]
)
def test_layer_starts_as_bilinear_upsampling(size, scale):
    features = normal(0, 2, *size, 3)
    out, _ = jax.jit(GUMUpsample(scale=scale).init_with_output)(
        jax.random.key(0), features
    )
    expected = run(BilinearUpsample(scale=scale), features)
    np.testing.assert_allclose(out, expected, atol=2e-6)  # Float32 rounds weights.


def test_offsets_are_dx_then_dy_in_source_pixels():
    # The bias alone sets the offsets, of each phase of the block.
    features = normal(0, 1, 5, 6, 2)
    layer = GUMUpsample(scale=2, compressed_channels=3)
    variables = jax.tree.map(jnp.zeros_like, drawn_variables(layer, features))
    bias = jnp.asarray([0, 0, 0, 0, 0, 0, 0, 0], jnp.float32)

    @jax.jit
    def moved(dx, dy) -> Any:
        offsets = bias.at[:4].set(dx).at[4:].set(dy)
        variables["params"]["offset_encoder"]["bias"] = offsets
        return layer.apply(variables, features)

    still = moved(0, 0)
    np.testing.assert_allclose(moved(1, 0)[:, :, 2:8], still[:, :, 4:10], atol=1e-6)
    np.testing.assert_allclose(moved(0, -1)[:, 4:8], still[:, 2:6], atol=1e-6)
    # Clamped to the map beyond the border.
    np.testing.assert_allclose(moved(9, 9), features[:, 4:, 5:] + 0 * still, atol=1e-6)


def test_gradients_match_differences():
    with jax.enable_x64(True):
        features = jnp.asarray(normal(0, 1, 3, 4, 2), jnp.float64)
        layer = GUMUpsample(compressed_channels=3, param_dtype=jnp.float64)
        # Small offsets around quarters of pixels keep away from whole positions.
        variables = jax.tree.map(lambda x: x / 20, drawn_variables(layer, features))
        check_grads(
            jax.jit(layer.apply), (variables, features), order=1, modes=("rev",)
        )


@pytest.mark.parametrize("channels", [0, 1.5])
def test_compressed_channels_that_are_no_count_are_refused(channels):
    message = f"`compressed_channels` must be a positive int, got {channels}"
    with pytest.raises(ValueError, match=message):
        run(GUMUpsample(compressed_channels=channels), jnp.zeros((1, 4, 4, 2)))
