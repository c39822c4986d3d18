"""Conversion of the weights of PyTorch that runs start from.

The names of the arrays decide what they are.
"""

from collections.abc import Mapping
from typing import Any

from carafe_jax.interop import (
    mmdetection_to_flax,
    semseg_to_flax,
    torchvision_resnet_to_flax,
)
from carafe_jax.interop.state_dict import read_state_dict
from carafe_jax.train import Variables

_BACKBONE = "backbone."
_DETECTOR = ("neck.", "rpn_head.", "roi_head.")
_SEMSEG = ("layer0.", "cls.", "ppm.", "psa.")


def convert_resnet(state_dict: Mapping[str, Any]) -> Variables:
    """Return the variables of a ResNet of torchvision, with or without its classifier.

    Raises:
      RefusedError: A name is missing or unexpected, or an array has a wrong shape.
    """
    names = read_state_dict(state_dict)
    has_classifier = any(name.startswith("fc.") for name in names)
    absent = () if has_classifier else ("fc",)
    return torchvision_resnet_to_flax(names, absent=absent)


def convert_detector(state_dict: Mapping[str, Any]) -> Variables:
    """Return the variables of a detector of mmdetection, or of a ResNet alone.

    The ResNet is one of torchvision, or the backbone of a network of mmpretrain.

    Raises:
      RefusedError: A name is missing or unexpected, or an array has a wrong shape.
    """
    names = read_state_dict(state_dict)
    if any(name.startswith(_DETECTOR) for name in names):
        return mmdetection_to_flax(names)
    backbone = {
        name.removeprefix(_BACKBONE): x
        for name, x in names.items()
        if name.startswith(_BACKBONE)
    }
    return convert_resnet(backbone or names)


def convert_segmenter(state_dict: Mapping[str, Any]) -> Variables:
    """Return the variables of a network of semseg, or of a ResNet alone.

    The ResNet is one of torchvision, or an encoder of CSAIL's networks.

    Raises:
      RefusedError: A name is missing or unexpected, or an array has a wrong shape.
    """
    names = read_state_dict(state_dict)
    if any(name.startswith(_SEMSEG) for name in names):
        return semseg_to_flax(names)
    return convert_resnet(names)
