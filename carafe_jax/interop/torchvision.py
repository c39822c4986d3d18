"""Weights of torchvision's ResNets for `carafe_jax.models`."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from carafe_jax.errors import RefusedError, no_type_check

# Counters, and the sums of CSAIL's synchronised norms: no part of the network.
_NOT_WEIGHTS = re.compile(r"num_batches_tracked$|_tmp_running_\w+$|_running_iter$")
_MODULE = re.compile(
    r"(?P<stem>(conv|bn)[123])"
    r"|layer(?P<stage>[1-4])\.(?P<block>\d+)\.((?P<part>(conv|bn)[123])"
    r"|downsample\.(?P<shortcut>[01]))"
    r"|(?P<classifier>fc)"
)
_NORM_NAMES = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


@no_type_check
def torchvision_resnet_to_flax(
    state_dict: Mapping[str, np.ndarray],
) -> dict[str, dict[str, Any]]:
    """Convert the weights of a ResNet to variables of `Classifier(ResNet...)`.

    Those of torchvision, and all of the same names: mmdetection's, and the backbones
    with three convolutions in the stem of CSAIL's segmentation networks (`DeepStem`).
    Numbers out are the same. For a network whose down-samplers have weights of their
    own, `carafe_jax.train.load_weights` puts these into its own variables.

    Args:
      state_dict: Weights by torchvision's name, as NumPy arrays, convolutions in the
        layout (out, in, height, width).

    Returns:
      `{"params": {"backbone": ..., "classifier": ...}, "batch_stats": {"backbone":
      ...}}`, without "classifier" where there is no `fc`. A `ResNet` alone takes what
      is under "backbone".

    Raises:
      RefusedError: A name is unknown, or an array has the wrong number of axes.
    """
    variables: dict[tuple[str, ...], np.ndarray] = {}
    unknown = []
    for name, array in state_dict.items():
        if _NOT_WEIGHTS.search(name):
            continue
        module, _, part = name.rpartition(".")
        match = _MODULE.fullmatch(module)
        if match is None or part not in _NORM_NAMES:
            unknown.append(name)
            continue
        path, is_norm = _place(match)
        collection, leaf = _NORM_NAMES[part]
        if not is_norm and leaf == "scale":
            leaf = "kernel"
            array = _kernel(name, np.asarray(array), linear=path == ("classifier",))
        variables[collection, *path, leaf] = np.asarray(array)
    if unknown or not variables:
        raise RefusedError(
            "`state_dict` must have the names of a torchvision ResNet, got "
            f"{', '.join(sorted(unknown)) or 'no name'}."
        )
    return unflatten_dict(variables)


def _place(module: re.Match[str]) -> tuple[tuple[str, ...], bool]:
    """Return the path of a module here, and whether it is a norm."""
    if module["classifier"]:
        return ("classifier",), False
    if module["stem"]:
        return ("backbone", "stem", _ours(module["stem"])), module["stem"][0] == "b"
    block = f"res{int(module['stage']) + 1}_{module['block']}"
    if module["shortcut"]:
        is_norm = module["shortcut"] == "1"
        return ("backbone", block, f"shortcut_{'norm' if is_norm else 'conv'}"), is_norm
    return ("backbone", block, _ours(module["part"])), module["part"][0] == "b"


def _ours(name: str) -> str:
    return name.replace("bn", "norm")


def _kernel(name: str, weight: np.ndarray, *, linear: bool) -> np.ndarray:
    axes = 2 if linear else 4
    if weight.ndim != axes:
        raise RefusedError(
            f"`state_dict[{name!r}]` must have {axes} axes, got {weight.shape}."
        )
    return weight.T if linear else weight.transpose(2, 3, 1, 0)
