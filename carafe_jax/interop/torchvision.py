"""Weights of torchvision's ResNets for `carafe_jax.models`."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import unflatten_dict

from carafe_jax.errors import no_type_check
from carafe_jax.interop.layout import NORM_NAMES
from carafe_jax.interop.state_dict import (
    array_of,
    check_names,
    check_shape,
    read_state_dict,
)

_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.")
_FC = {
    "fc.weight": ("params", "classifier", "kernel"),
    "fc.bias": ("params", "classifier", "bias"),
}
# Convolutions that predict the offsets of a DCNv2; the second name is that of files
# from before version 2 of mmcv's layer.
_OFFSET_CONVS = ("conv2.conv_offset", "conv2_offset")
_HINT = " If a module should be absent, pass its name: absent=('fc',) for a backbone."


@no_type_check
def torchvision_resnet_to_flax(
    state_dict: Mapping[str, Any], *, absent: Sequence[str] | None = ()
) -> dict[str, dict[str, Any]]:
    """Convert the weights of a ResNet to variables of `Classifier(ResNet...)`.

    It accepts the weights of torchvision and of networks with the same names:
    mmdetection's, and the backbones of CSAIL's segmentation networks, whose stems have
    three convolutions (`DeepStem`). A 3x3 convolution with weights for its offsets
    (`conv2.conv_offset`, in old files `conv2_offset`) becomes a `DeformableConv`, of
    mmcv's DCNv2. The outputs are the same. For a network whose down-samplers have
    weights too, `carafe_jax.train.load_weights` merges these weights
    into its variables.

    The depth and the type of the blocks follow from the names: four stages, each with
    blocks from 0 to the largest index, each of which must have all arrays of its type.

    Args:
      state_dict: Weights by torchvision's names, in any order, as NumPy arrays or
        torch's tensors; convolutions in the layout (out, in, height, width). The key
        `state_dict` and the prefix `module.` of checkpoints are removed.
      absent: Modules that must be absent, by torchvision's name: `("fc",)` for a
        backbone without a classifier. None allows any to be missing.

    Returns:
      Variables with "params", of "backbone" and "classifier", and "batch_stats", of
      "backbone", without absent arrays. A `ResNet` alone uses the variables under
      "backbone".

    Raises:
      RefusedError: A name is missing or unexpected, `absent` does not fit, or an array
        has a wrong shape or is not floating-point.
    """
    state = read_state_dict(state_dict)
    layout = resnet_layout(state)
    names = check_names(
        state, layout.places, network="a torchvision ResNet", absent=absent, hint=_HINT
    )
    arrays = {name: array_of(state, name) for name in names}
    for name, array in arrays.items():
        sizes = layout.sizes(name, arrays)
        reason = "" if set(sizes) == {None} else ", to match its neighbours"
        check_shape(name, array, sizes, reason=reason)
    return unflatten_dict(
        {layout.places[name]: _as_ours(array) for name, array in arrays.items()}
    )


@dataclasses.dataclass(frozen=True)
class ResNetLayout:
    """Arrays of a ResNet by torchvision's name, and how they are connected."""

    places: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Path of each array in the variables."""
    outputs: dict[str, str] = dataclasses.field(default_factory=dict)
    """For each array, the kernel whose output channels it shares."""
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    """For each kernel, the kernel whose output channels are its inputs."""
    stages: list[str] = dataclasses.field(default_factory=list)
    """For each stage, the kernel whose output channels are those of its map."""

    def add(self, conv: str, norm: str, ours: tuple[str, ...], *, after: str) -> str:
        """Add a convolution and its norm; return the name of the kernel."""
        kernel, number = f"{conv}.weight", ours[-1]
        path = ("backbone", *ours[:-1])
        self.places[kernel] = ("params", *path, number.format("conv"), "kernel")
        if after:
            self.inputs[kernel] = after
        for part, (collection, leaf) in NORM_NAMES.items():
            name = f"{norm}.{part}"
            self.places[name] = (collection, *path, number.format("norm"), leaf)
            self.outputs[name] = kernel
        return kernel

    def add_offset_conv(self, name: str, ours: tuple[str, ...], *, after: str) -> None:
        """Add the convolution that predicts the offsets of a `DeformableConv`."""
        kernel, path = f"{name}.weight", ("params", "backbone", *ours, "offset_conv")
        self.places[kernel] = (*path, "kernel")
        self.places[f"{name}.bias"] = (*path, "bias")
        self.outputs[f"{name}.bias"] = kernel
        self.inputs[kernel] = after

    def sizes(
        self, name: str, arrays: Mapping[str, np.ndarray]
    ) -> tuple[int | None, ...]:
        """Return the expected shape of an array, as far as other arrays give it."""

        def channels(kernel: str | None) -> int | None:
            array = arrays.get(kernel or "")
            return None if array is None or array.ndim == 0 else len(array)

        out = channels(self.outputs.get(name))
        if self.places[name][-1] != "kernel":
            return (out,)
        taps = () if name == "fc.weight" else (None, None)
        return (out, channels(self.inputs.get(name)), *taps)


def resnet_layout(state: Mapping[str, Any]) -> ResNetLayout:
    """Return the arrays that a ResNet must have, given the weights that there are."""
    layout, last = ResNetLayout(), ""
    deep = any(re.match(r"(conv|bn)[23]\.", name) for name in state)
    for i in range(1, 4 if deep else 2):
        last = layout.add(f"conv{i}", f"bn{i}", ("stem", f"{{}}{i}"), after=last)
    convs = 3 if any(re.search(r"\d\.(conv|bn)3\.", name) for name in state) else 2
    for stage, blocks in _blocks(state).items():
        for index in range(blocks):
            theirs, ours = f"layer{stage}.{index}", f"res{stage + 1}_{index}"
            before = last
            for i in range(1, convs + 1):
                names = f"{theirs}.conv{i}", f"{theirs}.bn{i}"
                if i == 2 and (offset_conv := _offset_conv(state, theirs)):
                    layout.add_offset_conv(offset_conv, (ours, "conv2"), after=last)
                last = layout.add(*names, (ours, f"{{}}{i}"), after=last)
            if index == 0 and (stage > 1 or _widens(state, before, last)):
                names = f"{theirs}.downsample.0", f"{theirs}.downsample.1"
                kernel = layout.add(*names, (ours, "shortcut_{}"), after=before)
                layout.outputs[kernel] = last
        layout.stages.append(last)
    layout.places.update(_FC)
    layout.inputs["fc.weight"] = last
    layout.outputs["fc.bias"] = "fc.weight"
    return layout


def _offset_conv(names: Collection[str], block: str) -> str | None:
    """Return the name of the convolution that predicts a block's offsets, if any."""
    found = (f"{block}.{conv}" for conv in _OFFSET_CONVS)
    parts = ("weight", "bias")
    return next(
        (name for name in found if any(f"{name}.{part}" in names for part in parts)),
        None,
    )


def _blocks(names: Collection[str]) -> dict[int, int]:
    """Return the number of blocks of each stage, at least one."""
    blocks = dict.fromkeys(range(1, 5), 1)
    for name in names:
        if match := _BLOCK.match(name):
            stage, index = int(match[1]), int(match[2])
            blocks[stage] = max(blocks[stage], index + 1)
    return blocks


def _widens(state: Mapping[str, Any], stem: str, block: str) -> bool:
    """Return whether the first block has a convolution in its shortcut."""
    if any(name.startswith("layer1.0.downsample.") for name in state):
        return True
    if stem in state and block in state:
        return np.shape(state[stem])[:1] != np.shape(state[block])[:1]
    return block == "layer1.0.conv3.weight"


def _as_ours(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
