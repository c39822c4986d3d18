"""Weights of mmcv's CARAFEPack for `carafe_jax.CARAFE`."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.interop.state_dict import (
    array_of,
    check_names,
    check_shape,
    read_state_dict,
)
from carafe_jax.ops import Scale, parse_scale

_LAYERS = ("channel_compressor", "content_encoder")


@no_type_check
def mmcv_carafe_to_flax(
    state_dict: Mapping[str, Any], *, scale: Scale | None = None
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Convert the weights of one `CARAFEPack` to variables of `carafe_jax.CARAFE`.

    mmcv orders the encoder's output channels by group and tap, then phase; here the
    phase comes first, as `reassemble` requires. The outputs are the same.

    Args:
      state_dict: `channel_compressor.{weight,bias}` and `content_encoder.{weight,bias}`
        as NumPy arrays or torch's tensors, convolutions in torch's layout (out, in,
        height, width).
      scale: Scale of the layer: 2, or "1/2" for a down-sampler. The weights depend only
        on its numerator, the number of phases along each side: those of "1/2", "1/3"
        and 1 are the same. None assumes 2 if 4 divides the encoder's channels, else a
        5x5 window and one group.

    Returns:
      Variables with "params" for a `CARAFE` with the same scale, groups and kernel
      sizes.

    Raises:
      RefusedError: A name is missing or unexpected, an array has a wrong shape or is
        not floating-point, or the channels do not fit the scale.
    """
    phases = None if scale is None else parse_scale(scale).numerator
    state = read_state_dict(state_dict)
    names = [f"{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")]
    check_names(state, names, network="mmcv's CARAFEPack")
    arrays = {name: array_of(state, name) for name in names}
    inputs = None
    for layer in _LAYERS:
        weight, bias = arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]
        reason = ", the channels of the compressor" if inputs else ""
        sizes = (None, inputs, None, None)
        check_shape(f"{layer}.weight", weight, sizes, reason=reason)
        inputs = len(weight)
        check_shape(f"{layer}.bias", bias, (inputs,))
    channels = len(arrays["content_encoder.bias"])
    order = _phase_major(channels, phases, scale)
    params = {
        layer: {
            "kernel": arrays[f"{layer}.weight"].transpose(2, 3, 1, 0),
            "bias": arrays[f"{layer}.bias"],
        }
        for layer in _LAYERS
    }
    encoder = params["content_encoder"]
    params["content_encoder"] = {name: x[..., order] for name, x in encoder.items()}
    return {"params": params}


def _phase_major(channels: int, phases: int | None, scale: Scale | None) -> np.ndarray:
    """Return the index of mmcv's channel for each channel here."""
    if phases is None:
        phases = _usual_phases(channels)
    if channels % phases**2:
        raise RefusedError(
            f"`scale` must fit the encoder's {channels} channels, which are "
            "numerator(scale)^2 * groups * k^2, got "
            f"{phases if scale is None else scale}."
        )
    return np.arange(channels).reshape(-1, phases**2).T.ravel()


def _usual_phases(channels: int) -> int:
    usual = math.isqrt(channels // 25)
    phases = 2 if channels % 4 == 0 else usual
    if usual > 2 and usual % 2 == 0 and channels == 25 * usual**2:
        raise RefusedError(
            f"`scale` must be given: the encoder's {channels} channels may be "
            f"those of scale {usual}, or of scale 2 with {usual**2 // 4} groups."
        )
    if phases < 1 or (phases != 2 and channels != 25 * phases**2):
        raise RefusedError(
            f"`scale` must be given: the encoder's {channels} channels fit no default."
        )
    return phases
