"""Weights of mmdetection's Faster R-CNN and Mask R-CNN."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from flax.traverse_util import unflatten_dict

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.interop.layout import Layout, Size
from carafe_jax.interop.mmcv import mmcv_carafe_to_flax
from carafe_jax.interop.state_dict import (
    array_of,
    check_names,
    check_shape,
    deconvolution_kernel,
    read_state_dict,
)
from carafe_jax.interop.torchvision import ResNetLayout, resnet_layout

# Means and deviations of the images' normalisation.
_NOT_WEIGHTS = "data_preprocessor."
_BACKBONE, _NECK, _RPN = "backbone", "neck", "rpn_head"
_BOX, _MASK = "roi_head.bbox_head", "roi_head.mask_head"
_ROI_SIZE = 7  # Of the features of the box head.
_HINT = (
    " If a module should be absent, pass its name: absent=('roi_head',) for a region "
    "proposal network alone."
)

Upsampler = Literal["carafe", "pixel_shuffle", "deconv"]
# The part of an up-sampler's names by which it is recognised.
_UPSAMPLERS: dict[str, Upsampler] = {
    "channel_compressor": "carafe",
    "content_encoder": "carafe",
    "upsample_conv": "pixel_shuffle",
    "weight": "deconv",
    "bias": "deconv",
}


@no_type_check
def mmdetection_to_flax(
    state_dict: Mapping[str, Any], *, absent: Sequence[str] | None = ()
) -> dict[str, dict[str, Any]]:
    """Convert the weights of a two-stage detector of mmdetection 2 or 3.

    The detectors are Faster R-CNN and Mask R-CNN on a ResNet, with FPN or FPN_CARAFE,
    and a mask head with a deconvolution or CARAFE. The outputs of the networks are the
    same. The names in the state dict determine their parts: the depth of the backbone,
    the levels and up-samplers of the neck, and whether there is a mask head.

    Args:
      state_dict: Weights by mmdetection's names, in any order, as NumPy arrays or
        torch's tensors in torch's layouts. The key `state_dict` and the prefix
        `module.` of checkpoints are removed, and `data_preprocessor` is ignored.
      absent: Modules that must be absent, by mmdetection's name:
        `("roi_head.mask_head.upsample",)` for a mask head that up-samples without
        weights. None allows any to be missing.

    Returns:
      Variables of `carafe_jax.models.detection.FasterRCNN` or `MaskRCNN`: "params" of
      "backbone" (`ResNet`), "fpn" (`FPN`), "rpn" (`RPNHead`), "box_head" (`BoxHead`)
      and "mask_head" (`MaskHead`), and "batch_stats" of "backbone" and of norms in the
      neck.

    Raises:
      RefusedError: A name is missing or unexpected, `absent` does not fit, or an array
        has a wrong shape or is not floating-point.
    """
    state = {
        name: x
        for name, x in read_state_dict(state_dict).items()
        if not name.startswith(_NOT_WEIGHTS)
    }
    resnet = resnet_layout(_within(_BACKBONE, state))
    layout = _layout(state, resnet)
    network = "a detector of mmdetection"
    names = check_names(
        state, layout.places, network=network, absent=absent, hint=_HINT
    )
    arrays = {name: array_of(state, name) for name in names}
    _check_shapes(arrays, layout, resnet)
    return unflatten_dict(
        {layout.places[name]: x for name, x in _as_ours(arrays, layout).items()}
    )


def _layout(state: Mapping[str, Any], resnet: ResNetLayout) -> Layout:
    """Return the arrays that a detector must have, given the weights that there are."""
    layout, features = Layout(), Size("features")
    for name, path in resnet.places.items():
        if not name.startswith("fc."):
            layout.places[f"{_BACKBONE}.{name}"] = path
    _add_neck(layout, state, features)
    _add_rpn(layout, features)
    _add_box_head(layout, features)
    if _within(_MASK, state):
        _add_mask_head(layout, state, features)
    return layout


def _add_neck(layout: Layout, state: Collection[str], features: Size) -> None:
    extra = re.compile(rf"{_NECK}\.((lateral|fpn)_convs\.4|upsample_modules\.3)\.")
    levels = 5 if any(map(extra.match, state)) else 4
    normed = any(re.match(rf"{_NECK}\.\w+\.\d\.bn\.", name) for name in state)

    def add(theirs: str, ours: str, inputs: Size, side: int) -> None:
        theirs, shape = f"{_NECK}.{theirs}", (features, inputs, side, side)
        layout.add(f"{theirs}.conv", ("fpn", ours), shape, bias=not normed)
        if normed:
            layout.add_norm(f"{theirs}.bn", ("fpn", f"{ours}_norm"), features)

    for index in range(levels):
        is_extra = index == 4
        inputs = Size(f"c{min(index, 3) + 2}")
        lateral = f"lateral_{index + 2}"
        add(f"lateral_convs.{index}", lateral, inputs, 3 if is_extra else 1)
    for index in range(levels):
        add(f"fpn_convs.{index}", f"output_{index + 2}", features, 3)
    kind = _kind_of_upsampler(state, rf"{_NECK}\.upsample_modules\.\d")
    if kind is not None:
        for index in range(levels - 1):
            theirs, ours = f"{_NECK}.upsample_modules.{index}", f"upsample_{index + 2}"
            _add_upsampler(layout, kind, theirs, ("fpn", ours), features)


def _add_rpn(layout: Layout, features: Size) -> None:
    own, anchors = Size("features of the RPN"), Size("anchors")
    layout.add(f"{_RPN}.rpn_conv", ("rpn", "conv"), (own, features, 3, 3))
    layout.add(f"{_RPN}.rpn_cls", ("rpn", "logits"), (anchors, own, 1, 1))
    deltas = anchors._replace(times=4)
    layout.add(f"{_RPN}.rpn_reg", ("rpn", "deltas"), (deltas, own, 1, 1))


def _add_box_head(layout: Layout, features: Size) -> None:
    hidden, flat = Size("hidden"), features._replace(times=_ROI_SIZE**2)
    layout.add(f"{_BOX}.shared_fcs.0", ("box_head", "fc1"), (hidden, flat))
    layout.add(f"{_BOX}.shared_fcs.1", ("box_head", "fc2"), (hidden, hidden))
    logits, deltas = Size("classes", plus=1), Size("classes", times=4)
    layout.add(f"{_BOX}.fc_cls", ("box_head", "logits"), (logits, hidden))
    layout.add(f"{_BOX}.fc_reg", ("box_head", "deltas"), (deltas, hidden))


def _add_mask_head(layout: Layout, state: Collection[str], features: Size) -> None:
    own = Size("features of the mask head")
    matches = (re.match(rf"{re.escape(_MASK)}\.convs\.(\d+)\.", name) for name in state)
    convs = 1 + max((int(match[1]) for match in matches if match), default=3)
    inputs = features
    for index in range(convs):
        theirs, ours = f"{_MASK}.convs.{index}.conv", f"conv{index + 1}"
        layout.add(theirs, ("mask_head", ours), (own, inputs, 3, 3))
        inputs = own
    theirs = f"{_MASK}.upsample"
    kind = _kind_of_upsampler(state, re.escape(theirs)) or "deconv"
    _add_upsampler(layout, kind, theirs, ("mask_head", "upsample"), own)
    logits = (Size("classes"), own, 1, 1)
    layout.add(f"{_MASK}.conv_logits", ("mask_head", "logits"), logits)


def _add_upsampler(
    layout: Layout,
    kind: Upsampler,
    theirs: str,
    ours: tuple[str, ...],
    features: Size,
) -> None:
    if kind == "deconv":
        shape = (features, features, None, None)
        layout.add(theirs, (*ours, "deconv"), shape, out_axis=1)
    elif kind == "pixel_shuffle":
        shape = (features._replace(times=4), features, None, None)
        layout.add(f"{theirs}.upsample_conv", (*ours, "conv"), shape)
    else:
        compressed, logits = Size(f"{theirs} compressed"), Size(f"{theirs} logits")
        compressor, encoder = "channel_compressor", "content_encoder"
        shape = (compressed, features, 1, 1)
        layout.add(f"{theirs}.{compressor}", (*ours, compressor), shape)
        shape = (logits, compressed, None, None)
        layout.add(f"{theirs}.{encoder}", (*ours, encoder), shape)


def _kind_of_upsampler(names: Collection[str], module: str) -> Upsampler | None:
    matches = (re.match(rf"{module}\.(\w+)", name) for name in names)
    parts = {match[1] for match in matches if match}
    return next((kind for part, kind in _UPSAMPLERS.items() if part in parts), None)


def _within(module: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a module by their names within it."""
    prefix = f"{module}."
    return {
        name.removeprefix(prefix): x
        for name, x in arrays.items()
        if name.startswith(prefix)
    }


def _check_shapes(
    arrays: Mapping[str, np.ndarray], layout: Layout, resnet: ResNetLayout
) -> None:
    backbone = _within(_BACKBONE, arrays)
    for name, array in backbone.items():
        sizes = resnet.sizes(name, backbone)
        reason = "" if set(sizes) == {None} else ", to match its neighbours"
        check_shape(f"{_BACKBONE}.{name}", array, sizes, reason=reason)
    channels = {
        f"c{stage}": len(backbone[kernel])
        for stage, kernel in enumerate(resnet.stages, 2)
        if kernel in backbone
    }
    rest = {name: x for name, x in arrays.items() if name in layout.shapes}
    layout.check_shapes(rest, channels)


def _as_ours(arrays: Mapping[str, np.ndarray], layout: Layout) -> dict[str, np.ndarray]:
    """Return the arrays in our layouts, by mmdetection's names."""
    found: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        path = layout.places[name]
        if path[-2:] == ("deconv", "kernel"):
            found[name] = deconvolution_kernel(array)
        elif path[-2:] == ("fc1", "kernel"):
            found[name] = _channels_last(name, array)
        elif array.ndim == 4:
            found[name] = array.transpose(2, 3, 1, 0)
        else:
            found[name] = array.T
    encoders = (name for name in arrays if name.endswith("content_encoder.weight"))
    for module in (name.removesuffix(".content_encoder.weight") for name in encoders):
        params = mmcv_carafe_to_flax(_within(module, arrays), scale=2)["params"]
        encoder = params["content_encoder"]
        found[f"{module}.content_encoder.weight"] = encoder["kernel"]
        found[f"{module}.content_encoder.bias"] = encoder["bias"]
    return found


def _channels_last(name: str, array: np.ndarray) -> np.ndarray:
    """Return the kernel after a flattened map, whose channels are last here."""
    hidden, inputs = array.shape
    if inputs % _ROI_SIZE**2:
        raise RefusedError(
            f"`state_dict[{name!r}]` must have a multiple of {_ROI_SIZE}x{_ROI_SIZE} "
            f"inputs, got {array.shape}."
        )
    by_pixel = array.reshape(hidden, -1, _ROI_SIZE, _ROI_SIZE).transpose(2, 3, 1, 0)
    return by_pixel.reshape(inputs, hidden)
