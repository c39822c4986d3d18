"""Weights of mmediting's Global&Local and its discriminators."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from flax.traverse_util import unflatten_dict

from carafe_jax.errors import RefusedError, no_type_check

Norm = Literal["batch", "instance"]
# Where each of mmediting's arrays goes; None: nowhere.
_Places = dict[str, tuple[str, ...] | None]

_COUNTER = "num_batches_tracked"
_GENERATOR = {
    "encoder.enc1": "stem",
    "encoder.enc2": "down_1",
    "encoder.enc3": "encoder_1",
    "encoder.enc4": "down_2",
    "encoder.enc5": "encoder_2_0",
    "encoder.enc6": "encoder_2_1",
    **{f"dilation_neck.dilation_convs.{i}": f"middle_{i}" for i in range(4)},
    "decoder.dec1": "decoder_2_0",
    "decoder.dec2": "decoder_2_1",
    "decoder.dec3": "up_1",
    "decoder.dec4": "decoder_1",
    "decoder.dec5": "up_0",
    "decoder.dec6": "decoder_0",
    "decoder.dec7": "output",
}


@no_type_check
def mmediting_global_local_to_flax(
    state_dict: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Convert the weights of mmediting's Global&Local to variables of `GlobalLocal`.

    Those of one `GLEncoderDecoder`, with batch norms or without. Numbers out are the
    same, with `norm=BatchNorm` or `norm=None`.

    Args:
      state_dict: Weights by the names inside of the generator,
        `encoder.enc1.conv.weight` say, as NumPy arrays in torch's layouts.

    Returns:
      `{"params": ...}`, with "batch_stats" where there are norms.

    Raises:
      RefusedError: A name is missing or unknown, or an array has the wrong number of
        axes.
    """
    has_norms = any(".bn." in name for name in state_dict)
    places: _Places = {}
    for theirs, ours in _GENERATOR.items():
        norm = has_norms and ours != "output"
        conv = "deconv" if ours.startswith("up") else "conv"
        places |= _conv_places(f"{theirs}.conv", (ours, conv), bias=not norm)
        if norm:
            places |= _norm_places(f"{theirs}.bn", (ours, "norm"))
    return _convert(state_dict, places, "mmediting's Global&Local")


@no_type_check
def mmediting_patch_gan_to_flax(
    state_dict: Mapping[str, np.ndarray], *, norm: Norm | None = "batch"
) -> dict[str, dict[str, Any]]:
    """Convert the weights of mmediting's PatchDiscriminator to variables of `PatchGAN`.

    Numbers out are the same, with the same norm.

    Args:
      state_dict: Weights by the names inside of the discriminator,
        `model.0.conv.weight` say, as NumPy arrays in torch's layouts.
      norm: Norm after each convolution but the first and the last. Before an instance
        norm mmediting has biases, which the norm takes out again: they are dropped.

    Returns:
      `{"params": ...}`, with "batch_stats" where there are batch norms.

    Raises:
      RefusedError: `norm` or a name is unknown, a name is missing, or an array has the
        wrong number of axes.
    """
    if norm not in (None, *get_args(Norm)):
        raise RefusedError(f"`norm` must be 'batch', 'instance' or None, got {norm!r}.")
    last = _largest_index(r"model\.(\d+)\.", state_dict)
    places: _Places = {}
    for index in range(last):
        theirs, ours = f"model.{index}", f"layer_{index}"
        normed = norm is not None and index > 0
        bias = norm == "instance" or not normed
        places |= _conv_places(f"{theirs}.conv", (ours, "conv"), bias=bias)
        if normed and norm == "batch":
            places |= _norm_places(f"{theirs}.bn", (ours, "norm"))
        elif normed:
            places[f"{theirs}.conv.bias"] = None
    places |= _conv_places(f"model.{last}", ("output", "conv"), bias=True)
    return _convert(state_dict, places, "mmediting's PatchDiscriminator")


@no_type_check
def mmediting_sn_patch_gan_to_flax(
    state_dict: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Convert a spectrally normalised discriminator to variables of `SNPatchGAN`.

    Of mmediting's MultiLayerDiscriminator, in the form of DeepFillv2: convolutions
    alone. torch keeps both singular vectors u and v of each kernel W, and evaluates
    with them; `nn.SpectralNorm` keeps u, and makes v and the next u of it whenever it
    is called. So the u that is returned is the one from which it makes torch's pair:
    the least-squares solution of W^T u = v. Evaluated, numbers are torch's to the
    rounding of v; where W has changed since torch made v, they differ by as much as a
    step of power iteration changes.

    Args:
      state_dict: Weights by the names inside of the discriminator,
        `conv1.conv.weight_orig` say, as NumPy arrays in torch's layouts.

    Returns:
      `{"params": ..., "batch_stats": ...}`.

    Raises:
      RefusedError: A name is missing or unknown, or an array has the wrong number of
        axes.
    """
    last = _largest_index(r"conv(\d+)\.", state_dict)
    places: _Places = {}
    for index in range(last):
        theirs, layer = f"conv{index + 1}.conv", f"layer_{index}"
        conv, norm = ("params", layer, "conv"), ("batch_stats", layer, "weight_norm")
        places |= {
            f"{theirs}.weight_orig": (*conv, "kernel"),
            f"{theirs}.bias": (*conv, "bias"),
            f"{theirs}.weight_u": None,
            f"{theirs}.weight_v": (*norm, "conv/kernel/v"),
        }
    variables = _convert(state_dict, places, "mmediting's MultiLayerDiscriminator")
    for layer, norms in variables["batch_stats"].items():
        kernel = variables["params"][layer]["conv"]["kernel"]
        v = norms["weight_norm"]["conv/kernel/v"]
        norms["weight_norm"] = _singular_vector(kernel, v)
    return variables


def _largest_index(pattern: str, names: Mapping[str, np.ndarray]) -> int:
    matches = (re.match(pattern, name) for name in names)
    return max((int(match[1]) for match in matches if match), default=0)


def _conv_places(theirs: str, ours: tuple[str, ...], *, bias: bool) -> _Places:
    places: _Places = {f"{theirs}.weight": ("params", *ours, "kernel")}
    return places | ({f"{theirs}.bias": ("params", *ours, "bias")} if bias else {})


def _norm_places(theirs: str, ours: tuple[str, ...]) -> _Places:
    return {
        f"{theirs}.weight": ("params", *ours, "scale"),
        f"{theirs}.bias": ("params", *ours, "bias"),
        f"{theirs}.running_mean": ("batch_stats", *ours, "mean"),
        f"{theirs}.running_var": ("batch_stats", *ours, "var"),
    }


def _convert(
    state_dict: Mapping[str, np.ndarray], places: _Places, network: str
) -> dict[str, dict[str, Any]]:
    names = {name for name in state_dict if not name.endswith(_COUNTER)}
    faults = {"missing": set(places) - names, "unexpected": names - set(places)}
    if any(faults.values()):
        listed = "; ".join(
            f"{fault} {', '.join(sorted(found))}"
            for fault, found in faults.items()
            if found
        )
        raise RefusedError(f"`state_dict` must have the names of {network}: {listed}.")
    return unflatten_dict(
        {
            path: _array(name, np.asarray(state_dict[name]), path)
            for name, path in places.items()
            if path is not None
        }
    )


def _array(name: str, array: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
    axes = 4 if path[-1] == "kernel" else 1
    if array.ndim != axes:
        raise RefusedError(
            f"`state_dict[{name!r}]` must have {axes} axes, got {array.shape}."
        )
    if path[-2:] == ("deconv", "kernel"):
        return array[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    return array.transpose(2, 3, 1, 0) if axes == 4 else array


def _singular_vector(kernel: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    """Return the u from which a step of power iteration makes v, and its sigma."""
    height, width, channels, features = kernel.shape
    v = v.reshape(channels, height, width).transpose(1, 2, 0).ravel()
    matrix = kernel.reshape(-1, features).astype(np.float64)
    u = np.linalg.lstsq(matrix, v, rcond=None)[0]
    kept = {
        "conv/kernel/u": (u / np.linalg.norm(u))[None],
        "conv/kernel/sigma": np.linalg.norm(v @ matrix),
    }
    return {name: np.asarray(x, kernel.dtype) for name, x in kept.items()}
