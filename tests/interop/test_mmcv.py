"""Weights of mmcv's CARAFEPack, converted."""

from fractions import Fraction

import jax
import numpy as np
import pytest

from carafe_jax import CARAFE
from carafe_jax.errors import RefusedError
from carafe_jax.interop import mmcv_carafe_to_flax


def state_dict(*, scale=2, groups=1, kernel_size=5, channels=6, compressed=4):
    """Weights in mmcv's layout; each encoder channel holds its own number."""
    outputs = scale**2 * groups * kernel_size**2
    draw = np.random.default_rng(0).normal
    return {
        "channel_compressor.weight": draw(size=(compressed, channels, 1, 1)),
        "channel_compressor.bias": draw(size=compressed),
        "content_encoder.weight": np.broadcast_to(
            np.arange(float(outputs))[:, None, None, None], (outputs, compressed, 3, 3)
        ),
        "content_encoder.bias": np.arange(float(outputs)),
    }


def to_mmcv(params, *, scale):
    """Return weights in mmcv's layout: the inverse of the conversion."""

    def tap_major(x):
        return x.reshape(*x.shape[:-1], scale**2, -1).swapaxes(-1, -2).reshape(x.shape)

    compressor, encoder = params["channel_compressor"], params["content_encoder"]
    return {
        "channel_compressor.weight": compressor["kernel"].transpose(3, 2, 0, 1),
        "channel_compressor.bias": compressor["bias"],
        "content_encoder.weight": tap_major(encoder["kernel"]).transpose(3, 2, 0, 1),
        "content_encoder.bias": tap_major(encoder["bias"]),
    }


@pytest.mark.parametrize("scale", [1, 2, 3])
@pytest.mark.parametrize(("groups", "kernel_size"), [(1, 5), (2, 3), (4, 1)])
def test_inverse_conversion_restores_the_weights(groups, kernel_size, scale):
    weights = state_dict(scale=scale, groups=groups, kernel_size=kernel_size)
    params = mmcv_carafe_to_flax(weights, scale=scale)["params"]
    restored = to_mmcv(params, scale=scale)
    assert set(restored) == set(weights)
    for name, array in weights.items():
        np.testing.assert_array_equal(restored[name], array)


def test_phase_comes_before_group_and_tap():
    params = mmcv_carafe_to_flax(state_dict(groups=2, kernel_size=3), scale=2)["params"]
    bias = params["content_encoder"]["bias"].reshape(4, 2, 9)
    for phase, group, tap in np.ndindex(bias.shape):
        assert bias[phase, group, tap] == (group * 9 + tap) * 4 + phase


@pytest.mark.parametrize(("scale", "assumed"), [(1, 1), (2, 2), (3, 3)])
def test_scale_of_a_plain_module_need_not_be_given(scale, assumed):
    weights = state_dict(scale=scale)
    expected = mmcv_carafe_to_flax(weights, scale=assumed)["params"]
    params = mmcv_carafe_to_flax(weights)["params"]
    for part in ("kernel", "bias"):
        np.testing.assert_array_equal(
            params["content_encoder"][part], expected["content_encoder"][part]
        )


@pytest.mark.parametrize(
    ("phases", "ours"), [(2, 2), (1, "1/2"), (1, 1), (3, "3"), (3, "3/2")]
)
def test_converted_weights_have_the_shapes_of_the_layer(phases, ours):
    converted = mmcv_carafe_to_flax(state_dict(scale=phases), scale=ours)
    layer = CARAFE(scale=ours, compressed_channels=4)
    expected = jax.eval_shape(layer.init, jax.random.key(0), np.zeros((1, 4, 4, 6)))
    assert jax.tree.map(np.shape, converted) == jax.tree.map(np.shape, expected)


@pytest.mark.parametrize("missing", list(state_dict()))
def test_missing_weights_are_refused(missing):
    weights = state_dict()
    del weights[missing]
    with pytest.raises(
        ValueError, match=rf"names of mmcv's CARAFEPack: missing {missing}\."
    ):
        mmcv_carafe_to_flax(weights)


def test_unknown_weights_are_refused():
    weights = state_dict() | {"upsample.weight": np.zeros(3)}
    with pytest.raises(ValueError, match=r"unexpected upsample\.weight\.$"):
        mmcv_carafe_to_flax(weights)


@pytest.mark.parametrize("layer", ["channel_compressor", "content_encoder"])
def test_weights_of_no_convolution_are_refused(layer):
    weights = state_dict() | {f"{layer}.weight": np.zeros((100, 4))}
    with pytest.raises(ValueError, match=rf"{layer}.weight'\]` must have rank 4"):
        mmcv_carafe_to_flax(weights)


@pytest.mark.parametrize("layer", ["channel_compressor", "content_encoder"])
def test_bias_of_another_length_is_refused(layer):
    weights = state_dict() | {f"{layer}.bias": np.zeros(36)}
    with pytest.raises(
        ValueError, match=rf"{layer}.bias'\]` must have shape.*got \(36,"
    ):
        mmcv_carafe_to_flax(weights)


def test_encoder_of_another_compressor_is_refused():
    weights = state_dict() | {"content_encoder.weight": np.zeros((100, 7, 3, 3))}
    with pytest.raises(ValueError, match=r"shape \(any, 4, any, any\), the ch"):
        mmcv_carafe_to_flax(weights)


@pytest.mark.parametrize("scale", [3, 4, "3/2", "4/3"])
def test_scale_that_does_not_fit_the_channels_is_refused(scale):
    weights = state_dict(kernel_size=5, scale=2)
    with pytest.raises(
        ValueError, match=f"`scale` must fit .* 100 channels.*got {scale}"
    ):
        mmcv_carafe_to_flax(weights, scale=scale)


@pytest.mark.parametrize(("scale", "kernel_size"), [(3, 3), (1, 3), (1, 7)])
def test_scale_is_required_where_channels_do_not_determine_it(scale, kernel_size):
    weights = state_dict(scale=scale, kernel_size=kernel_size)
    with pytest.raises(ValueError, match="`scale` must be given: the encoder's"):
        mmcv_carafe_to_flax(weights)


@pytest.mark.parametrize("scale", ["1/2", Fraction(1, 2), Fraction(1, 3), 1])
def test_weights_of_a_down_sampler_keep_their_order(scale):
    weights = state_dict(scale=1, groups=2, kernel_size=3)
    bias = mmcv_carafe_to_flax(weights, scale=scale)["params"]["content_encoder"][
        "bias"
    ]
    np.testing.assert_array_equal(bias, weights["content_encoder.bias"])


@pytest.mark.parametrize("scale", [0, -2, 0.3])
def test_invalid_scale_is_refused(scale):
    with pytest.raises(RefusedError, match="`scale` must be"):
        mmcv_carafe_to_flax(state_dict(), scale=scale)
