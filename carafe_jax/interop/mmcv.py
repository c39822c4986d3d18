"""Weights of mmcv's CARAFEPack for `carafe_jax.CARAFE`."""

import math
from collections.abc import Mapping

import numpy as np

from carafe_jax.errors import RefusedError, no_type_check


@no_type_check
def mmcv_carafe_to_flax(
    state_dict: Mapping[str, np.ndarray], *, scale: int | None = None
) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Convert the weights of one `CARAFEPack` to variables of `carafe_jax.CARAFE`.

    mmcv orders the encoder's output channels by group and tap, then phase; here the
    phase comes first, as the operator wants it. Numbers out are the same.

    Args:
      state_dict: `channel_compressor.{weight,bias}` and `content_encoder.{weight,bias}`
        as NumPy arrays, convolutions in torch's layout (out, in, height, width).
      scale: `scale_factor` of the module, 1 for a down-sampling one. None takes 2
        where 4 divides the encoder's channels, else
        assumes a 5x5 window and one group.

    Returns:
      `{"params": ...}` to be applied by a `CARAFE` with the same scale, groups and
      kernel sizes.

    Raises:
      RefusedError: A name is missing or unknown, or the channels do not fit.
    """
    names = {
        f"{layer}.{part}"
        for layer in ("channel_compressor", "content_encoder")
        for part in ("weight", "bias")
    }
    if set(state_dict) != names:
        raise RefusedError(
            f"`state_dict` must have the names {sorted(names)}, "
            f"got {sorted(state_dict)}."
        )
    params = {}
    for layer in ("channel_compressor", "content_encoder"):
        weight = np.asarray(state_dict[f"{layer}.weight"])
        if weight.ndim != 4:
            raise RefusedError(
                f"`state_dict['{layer}.weight']` must have 4 axes, got {weight.shape}."
            )
        params[layer] = {
            "kernel": weight.transpose(2, 3, 1, 0),
            "bias": np.asarray(state_dict[f"{layer}.bias"]),
        }
        if params[layer]["bias"].shape != weight.shape[:1]:
            raise RefusedError(
                f"`state_dict['{layer}.bias']` must have shape {weight.shape[:1]}, "
                f"got {params[layer]['bias'].shape}."
            )
    compressor, encoder = params["channel_compressor"], params["content_encoder"]
    if encoder["kernel"].shape[2] != compressor["bias"].size:
        raise RefusedError(
            "`state_dict['content_encoder.weight']` must have the compressor's "
            f"{compressor['bias'].size} channels as input, "
            f"got {encoder['kernel'].shape[2]}."
        )
    order = _phase_major(encoder["bias"].size, scale)
    params["content_encoder"] = {name: x[..., order] for name, x in encoder.items()}
    return {"params": params}


def _phase_major(channels: int, scale: int | None) -> np.ndarray:
    """Return mmcv's channel for each of ours."""
    if scale is None:
        usual = math.isqrt(channels // 25)
        scale = 2 if channels % 4 == 0 else usual
        if usual > 2 and usual % 2 == 0 and channels == 25 * usual**2:
            raise RefusedError(
                f"`scale` must be given: the encoder's {channels} channels may be "
                f"those of scale {usual}, or of scale 2 with {usual**2 // 4} groups."
            )
        if scale != 2 and channels != 25 * scale**2:
            raise RefusedError(
                f"`scale` must be given: the encoder's {channels} channels fit no"
                " default."
            )
    if scale < 1 or channels % scale**2:
        raise RefusedError(
            f"`scale` must fit the encoder's {channels} channels, which are "
            f"scale^2 * groups * k^2, got {scale}."
        )
    return np.arange(channels).reshape(-1, scale**2).T.ravel()
