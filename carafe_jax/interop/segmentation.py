"""Weights of segmentation networks: CSAIL's, and those of semseg."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from carafe_jax.errors import no_type_check
from carafe_jax.interop.layout import Layout, Size
from carafe_jax.interop.state_dict import array_of, check_names, read_state_dict
from carafe_jax.interop.torchvision import torchvision_resnet_to_flax

_Variables = dict[str, dict[str, Any]]
_FEATURES, _POOLED, _CLASSES = Size("features"), Size("pooled"), Size("classes")
_AUXILIARY, _C5 = Size("auxiliary"), Size("c5")
_SCALES = 4  # Of the pyramid pooling: 1, 2, 3 and 6 bins.
# Layers of semseg's deep stem, by torchvision's names.
_SEMSEG_STEM = {
    "0": "conv1",
    "1": "bn1",
    "3": "conv2",
    "4": "bn2",
    "6": "conv3",
    "7": "bn3",
}
_STEM_LAYER = re.compile(r"layer0\.(\d+)\.")


@no_type_check
def csail_to_flax(
    encoder: Mapping[str, Any],
    decoder: Mapping[str, Any],
    *,
    absent: Sequence[str] | None = (),
) -> _Variables:
    """Convert weights of CSAIL's networks to variables of `UperNet` or `PSPNet`.

    The files are `encoder_*.pth` and `decoder_*.pth` of a ResNet, of `deep_stem` in
    CSAIL's model zoo, with the decoder `upernet` or `ppm_deepsup`. The decoder's type
    follows from its names. The outputs are the same with the fields that the docstrings
    of `UperNet` and `PSPNet` describe.

    Args:
      encoder: Weights of the encoder by name, as NumPy arrays or torch's tensors.
      decoder: Weights of the decoder by name.
      absent: Modules of the decoder that must be absent, by CSAIL's name, as in
        `torchvision_resnet_to_flax`: `("conv_last.1",)` for other classes. None allows
        any to be missing, of the encoder too.

    Returns:
      Variables with "params" and "batch_stats".

    Raises:
      RefusedError: A name is missing or unexpected, `absent` does not fit, or an array
        has a wrong shape or is not floating-point.
    """
    state = read_state_dict(decoder)
    is_upernet = not any(name.startswith("ppm.") for name in state)
    return _merged(
        _backbone(encoder, absent=absent),
        _convert(
            state,
            _csail_upernet() if is_upernet else _csail_pspnet(),
            network=f"CSAIL's decoder {'upernet' if is_upernet else 'ppm_deepsup'}",
            absent=absent,
        ),
    )


@no_type_check
def semseg_to_flax(
    state_dict: Mapping[str, Any], *, absent: Sequence[str] | None = ()
) -> _Variables:
    """Convert weights of semseg's networks to variables of `PSPNet` or `PSANet`.

    The type of the network follows from the names, the size of PSANet's window from the
    shapes. The outputs are the same.

    Args:
      state_dict: Weights by semseg's names, as NumPy arrays or torch's tensors. The key
        `state_dict` and the prefix `module.` of checkpoints are removed.
      absent: Modules that must be absent, by semseg's name, as in
        `torchvision_resnet_to_flax`: `("cls.4", "aux.4")` for other classes. None
        allows any to be missing.

    Returns:
      Variables with "params" and "batch_stats".

    Raises:
      RefusedError: As for `csail_to_flax`.
    """
    state = read_state_dict(state_dict)
    backbone = {
        _STEM_LAYER.sub(_torchvision_stem, name): x
        for name, x in state.items()
        if name.startswith("layer")
    }
    heads = {name: x for name, x in state.items() if not name.startswith("layer")}
    is_psanet = any(name.startswith("psa.") for name in heads)
    return _merged(
        _backbone(backbone, absent=absent),
        _convert(
            heads,
            _semseg_psanet() if is_psanet else _semseg_pspnet(),
            network=f"semseg's {'PSANet' if is_psanet else 'PSPNet'}",
            absent=absent,
        ),
    )


def _torchvision_stem(layer: re.Match[str]) -> str:
    return f"{_SEMSEG_STEM.get(layer[1], layer[0].rstrip('.'))}."


def _csail_upernet() -> Layout:
    layout = Layout()
    for index in range(_SCALES):
        ours = ("pyramid_pooling", f"conv_{index}")
        _add_block(layout, f"ppm_conv.{index}", ours, _POOLED, _C5)
    _add_block(layout, "ppm_last_conv", ("bottleneck",), _FEATURES, None, side=3)
    for index, level in enumerate((2, 3, 4)):
        lateral, output = (f"lateral_{level}",), (f"output_{level}",)
        _add_block(layout, f"fpn_in.{index}", lateral, _FEATURES, None)
        theirs = f"fpn_out.{index}.0"
        _add_block(layout, theirs, output, _FEATURES, _FEATURES, side=3)
    inputs = Size("features", times=4)
    _add_block(layout, "conv_last.0", ("head", "block"), _FEATURES, inputs, side=3)
    shape = (_CLASSES, _FEATURES, 1, 1)
    layout.add("conv_last.1", ("head", "classifier"), shape)
    return layout


def _csail_pspnet() -> Layout:
    layout = Layout()
    _add_pooling(layout, "ppm")
    _add_head(layout, "conv_last", "head", _FEATURES)
    block = ("auxiliary_head", "block")
    _add_block(layout, "cbr_deepsup", block, _AUXILIARY, None, side=3)
    shape = (_CLASSES, _AUXILIARY, 1, 1)
    layout.add("conv_last_deepsup", ("auxiliary_head", "classifier"), shape)
    return layout


def _semseg_pspnet() -> Layout:
    layout = Layout()
    _add_pooling(layout, "ppm.features")
    return _with_semseg_heads(layout)


def _semseg_psanet() -> Layout:
    layout = Layout()
    attended, window = Size("attended"), Size("window")
    for direction, suffix in (("collect", ""), ("distribute", "_p")):
        theirs = f"psa.attention{suffix}"
        ours = ("attention", f"{direction}_reduce")
        _add_block(layout, f"psa.reduce{suffix}", ours, attended, _C5)
        ours = ("attention", f"{direction}_block")
        _add_block(layout, theirs, ours, attended, attended)
        ours = ("attention", f"{direction}_attention")
        layout.add(f"{theirs}.3", ours, (window, attended, 1, 1), bias=False)
    # Of one direction, or of both.
    _add_block(layout, "psa.proj", ("attention", "project"), _C5, None)
    return _with_semseg_heads(layout)


def _with_semseg_heads(layout: Layout) -> Layout:
    _add_head(layout, "cls", "head", _FEATURES)
    _add_head(layout, "aux", "auxiliary_head", _AUXILIARY)
    return layout


def _add_pooling(layout: Layout, theirs: str) -> None:
    """Add the scales of a pyramid pooling whose first layer, 0, pools."""
    for index in range(_SCALES):
        ours = ("pyramid_pooling", f"conv_{index}")
        name = f"{theirs}.{index}"
        _add_block(layout, name, ours, _POOLED, _C5, layers=(1, 2))


def _add_head(layout: Layout, theirs: str, ours: str, features: Size) -> None:
    """Add a `ClassHead`, which is followed by a ReLU and dropout up to its layer 4."""
    _add_block(layout, theirs, (ours, "block"), features, None, side=3)
    layout.add(f"{theirs}.4", (ours, "classifier"), (_CLASSES, features, 1, 1))


def _add_block(
    layout: Layout,
    theirs: str,
    ours: tuple[str, ...],
    outputs: Size,
    inputs: Size | None,
    *,
    side: int = 1,
    layers: tuple[int, int] = (0, 1),
) -> None:
    """Add a convolution without bias and its norm, by their indices in a sequence."""
    conv, norm = (f"{theirs}.{layer}" for layer in layers)
    layout.add(conv, (*ours, "conv"), (outputs, inputs, side, side), bias=False)
    layout.add_norm(norm, (*ours, "norm"), outputs)


def _backbone(state: Mapping[str, Any], *, absent: Sequence[str] | None) -> _Variables:
    if absent is None:
        return torchvision_resnet_to_flax(state, absent=None) if state else {}
    return torchvision_resnet_to_flax(state, absent=("fc",))


def _convert(
    state: Mapping[str, Any],
    layout: Layout,
    *,
    network: str,
    absent: Sequence[str] | None,
) -> _Variables:
    if not state and absent is None:
        return {}
    names = check_names(state, layout.places, network=network, absent=absent)
    arrays = {name: array_of(state, name) for name in names}
    layout.check_shapes(arrays, known={})
    return unflatten_dict(
        {
            layout.places[name]: array.transpose(2, 3, 1, 0)
            if array.ndim == 4
            else array
            for name, array in arrays.items()
        }
    )


def _merged(*trees: _Variables) -> _Variables:
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for tree in trees:
        flat |= flatten_dict(tree)
    return unflatten_dict(flat)
