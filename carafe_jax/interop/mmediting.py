"""Weights of mmediting's Global&Local and its discriminators."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from flax.traverse_util import unflatten_dict

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.interop.state_dict import (
    array_of,
    check_names,
    check_shape,
    deconvolution_kernel,
    read_state_dict,
)

Norm = Literal["batch", "instance"]
# Path of each of mmediting's arrays in the variables; None: the array is dropped.
_Places = dict[str, tuple[str, ...] | None]

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
    state_dict: Mapping[str, Any], *, absent: Sequence[str] | None = ()
) -> dict[str, dict[str, Any]]:
    """Convert the weights of mmediting's Global&Local to variables of `GlobalLocal`.

    The weights are those of one `GLEncoderDecoder`, with or without batch norms. The
    outputs are the same, with `norm=BatchNorm` or `norm=None`.

    Args:
      state_dict: Weights by their names within the generator, such as
        `encoder.enc1.conv.weight`, as arrays in torch's layouts.
      absent: Modules that must be absent, by mmediting's name, as in
        `torchvision_resnet_to_flax`.

    Returns:
      Variables with "params", and "batch_stats" if there are norms.

    Raises:
      RefusedError: A name is missing or unexpected, `absent` does not fit, or an array
        has a wrong shape or is not floating-point.
    """
    state = read_state_dict(state_dict)
    has_norms = any(".bn." in name for name in state)
    places: _Places = {}
    for theirs, ours in _GENERATOR.items():
        norm = has_norms and ours != "output"
        conv = "deconv" if ours.startswith("up") else "conv"
        places |= _conv_places(f"{theirs}.conv", (ours, conv), bias=not norm)
        if norm:
            places |= _norm_places(f"{theirs}.bn", (ours, "norm"))
    return _convert(state, places, "mmediting's Global&Local", absent)


@no_type_check
def mmediting_patch_gan_to_flax(
    state_dict: Mapping[str, Any],
    *,
    norm: Norm | None = "batch",
    absent: Sequence[str] | None = (),
) -> dict[str, dict[str, Any]]:
    """Convert the weights of mmediting's PatchDiscriminator to variables of `PatchGAN`.

    The outputs are the same, with the same norm.

    Args:
      state_dict: Weights by their names within the discriminator, such as
        `model.0.conv.weight`, as arrays in torch's layouts.
      norm: Norm after each convolution but the first and the last. mmediting has biases
        before an instance norm, which cancels them: they are dropped.
      absent: Modules that must be absent, by mmediting's name, as in
        `torchvision_resnet_to_flax`.

    Returns:
      Variables with "params", and "batch_stats" if there are batch norms.

    Raises:
      RefusedError: `norm` is unknown, a name is missing or unexpected, `absent` does
        not fit, or an array has a wrong shape or is not floating-point.
    """
    if norm not in (None, *get_args(Norm)):
        raise RefusedError(f"`norm` must be 'batch', 'instance' or None, got {norm!r}.")
    state = read_state_dict(state_dict)
    last = _largest_index(r"model\.(\d+)\.", state)
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
    return _convert(state, places, "mmediting's PatchDiscriminator", absent)


@no_type_check
def mmediting_sn_patch_gan_to_flax(
    state_dict: Mapping[str, Any], *, absent: Sequence[str] | None = ()
) -> dict[str, dict[str, Any]]:
    """Convert a spectrally normalised discriminator to variables of `SNPatchGAN`.

    The weights are those of mmediting's MultiLayerDiscriminator in the form of
    DeepFillv2, with convolutions alone. torch stores both singular vectors u and v of
    each kernel W, and uses them in evaluation; `nn.SpectralNorm` stores u, and computes
    v and the next u from it in every call. The returned u is therefore the one from
    which it computes torch's pair: the least-squares solution of W^T u = v. In
    evaluation the outputs equal torch's up to the rounding of v. If W has changed since
    torch computed v, they differ by the effect of one step of power iteration.

    Args:
      state_dict: Weights by their names within the discriminator, such as
        `conv1.conv.weight_orig`, as arrays in torch's layouts.
      absent: Modules that must be absent, by mmediting's name, as in
        `torchvision_resnet_to_flax`.

    Returns:
      Variables with "params" and "batch_stats".

    Raises:
      RefusedError: A name is missing or unexpected, `absent` does not fit, or an array
        has a wrong shape or is not floating-point.
    """
    state = read_state_dict(state_dict)
    last = _largest_index(r"conv(\d+)\.", state)
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
    network = "mmediting's MultiLayerDiscriminator"
    variables = _convert(state, places, network, absent)
    for layer, norms in variables.get("batch_stats", {}).items():
        # Modules that are absent have no kernel.
        conv = variables.get("params", {}).get(layer, {}).get("conv", {})
        if "kernel" in conv:
            v = norms["weight_norm"]["conv/kernel/v"]
            norms["weight_norm"] = _singular_vector(conv["kernel"], v)
    return variables


def _largest_index(pattern: str, names: Mapping[str, Any]) -> int:
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
    state: Mapping[str, Any],
    places: _Places,
    network: str,
    absent: Sequence[str] | None,
) -> dict[str, dict[str, Any]]:
    names = check_names(state, places, network=network, absent=absent)
    arrays = {name: array_of(state, name) for name in names}
    for name, array in arrays.items():
        check_shape(name, array, _shape(name, arrays, places))
    return unflatten_dict(
        {
            path: _as_ours(array, path)
            for name, array in arrays.items()
            if (path := places[name]) is not None
        }
    )


def _shape(
    name: str, arrays: Mapping[str, np.ndarray], places: _Places
) -> tuple[int | None, ...]:
    """Return the expected shape of an array, as far as its layer's kernel gives it."""
    layer, _, part = name.rpartition(".")
    conv = layer.removesuffix(".bn") + ".conv" if layer.endswith(".bn") else layer
    kernels = (f"{conv}.weight", f"{conv}.weight_orig")
    if name in kernels:
        return (None,) * 4
    kernel = next((kernel for kernel in kernels if kernel in arrays), None)
    if kernel is None or arrays[kernel].ndim != 4:
        return (None,)
    if part == "weight_v":  # Over inputs and taps.
        return (arrays[kernel][0].size,)
    return (arrays[kernel].shape[_output_axis(places[kernel])],)


def _output_axis(path: tuple[str, ...] | None) -> int:
    return int(path is not None and path[-2:] == ("deconv", "kernel"))


def _as_ours(array: np.ndarray, path: tuple[str, ...]) -> np.ndarray:
    if _output_axis(path):
        return deconvolution_kernel(array)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _singular_vector(kernel: np.ndarray, v: np.ndarray) -> dict[str, np.ndarray]:
    """Return the u whose step of power iteration gives v, and the sigma."""
    height, width, channels, features = kernel.shape
    v = v.reshape(channels, height, width).transpose(1, 2, 0).ravel()
    matrix = kernel.reshape(-1, features).astype(np.float64)
    u = np.linalg.lstsq(matrix, v, rcond=None)[0]
    kept = {
        "conv/kernel/u": (u / np.linalg.norm(u))[None],
        "conv/kernel/sigma": np.linalg.norm(v @ matrix),
    }
    return {name: np.asarray(x, kernel.dtype) for name, x in kept.items()}
