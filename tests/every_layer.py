"""Every public layer, block and network, each at a size that is quick to trace."""

import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from carafe_jax import models, nn
from carafe_jax.models import backbones
from carafe_jax.models.backbones.resnet_layers import Layers
from carafe_jax.nn import BatchNorm

PACKAGES = (nn, models, backbones)

_WITH_NORM = {"features": 4, "norm": BatchNorm}
_CARAFE = {"compressed_channels": 4, "norm": BatchNorm}
_RESNET = {"stage_sizes": (1, 1, 1, 1), "width": 2}
_CARAFE_UP = functools.partial(nn.CARAFEUpsample, **_CARAFE)
_SEGMENTER = {
    "backbone": models.ResNet18(**_RESNET),
    "classes": 3,
    "features": 4,
}
_GLOBAL_LOCAL = {"width": 2, "middle_dilations": (2,), "norm": BatchNorm}
_LAYERS = Layers(
    conv=functools.partial(linen.Conv, use_bias=False),
    norm=BatchNorm,
    last_norm=BatchNorm,
    downsample=functools.partial(nn.CARAFEDownsample, **_CARAFE),
)
_STEM = {"features": 4, "layers": _LAYERS, "pool": nn.MaxPoolDownsample}
_BLOCK = {"features": 4, "stride": 2, "layers": _LAYERS}

# The fields that make each one small, with a norm wherever there may be one.
FIELDS: dict[str, dict[str, Any]] = {
    "AveragePoolDownsample": {},
    "BatchNorm": {},
    "BilinearConvUpsample": {},
    "BilinearUpsample": {},
    "CARAFE": _CARAFE,
    "CARAFEDownsample": _CARAFE,
    "CARAFEUpsample": _CARAFE,
    "DPPDownsample": {},
    "DeconvUpsample": {},
    "DeformableConv": {"features": 4, "kernel_size": (3, 3)},
    "GUMUpsample": {"compressed_channels": 4},
    "GuidedUpsampling": {"norm": BatchNorm},
    "LIPDownsample": {},
    "LIPHead": {},
    "LIPTrunk": {"features": 4},
    "MaxPoolDownsample": {},
    "NearestConvUpsample": {},
    "NearestUpsample": {},
    "PartialCARAFE": {"reassembly": functools.partial(nn.CARAFEDownsample, **_CARAFE)},
    "PartialConv": {"features": 4},
    "PartialConvBlock": _WITH_NORM,
    "PartialNearestUpsample": {},
    "PartialResampleConv": _WITH_NORM,
    "PixelShuffleUpsample": {},
    "SpatialAttentionUpsample": _CARAFE,
    "StridedConvDownsample": {},
    "CARAFEConv": _WITH_NORM,
    "Classifier": {"backbone": models.ResNet18(**_RESNET), "classes": 3},
    "ConvBlock": _WITH_NORM | {"weight_norm": linen.SpectralNorm},
    "DeconvBlock": _WITH_NORM,
    "ClassHead": {"classes": 3, "features": 4},
    "PyramidPooling": {"features": 2, "bins": (1, 2), "upsample": _CARAFE_UP},
    "PointWiseAttention": {"window": (5, 5), "features": 4},
    "UperNet": _SEGMENTER
    | {
        "bins": (1, 2),
        "ppm_upsample": _CARAFE_UP,
        "fpn_upsample": _CARAFE_UP,
        "fuse_upsample": _CARAFE_UP,
    },
    "UNetBackbone": {"stage_features": (2, 4)},
    "SegmentationUNet": {
        "backbone": models.UNetBackbone(stage_features=(2, 4)),
        "classes": 3,
    },
    "PSPNet": _SEGMENTER | {"auxiliary_features": 4, "dropout": 0.0, "bins": (1, 2)},
    "PSANet": _SEGMENTER | {"auxiliary_features": 4, "dropout": 0.0, "window": (3, 3)},
    "BoxHead": {"classes": 3, "hidden": 4},
    "FPN": {
        "features": 4,
        "upsample": functools.partial(nn.CARAFEUpsample, compressed_channels=2),
        "extra_level": "lateral",
        "norm": BatchNorm,
    },
    "GlobalLocal": _GLOBAL_LOCAL,
    "GlobalLocalCARAFE": _GLOBAL_LOCAL,
    "LIPBlock": _BLOCK,
    "LIPBottleneck": {"features": 2, "trunk_features": 4},
    "MaskHead": {
        "classes": 3,
        "features": 4,
        "convs": 1,
        "upsample": functools.partial(nn.CARAFEUpsample, **_CARAFE),
    },
    "PartialGlobalLocal": _GLOBAL_LOCAL,
    "PartialGlobalLocalCARAFE": _GLOBAL_LOCAL,
    "PatchGAN": {"features": (2, 2), "strides": (2, 1)},
    "RPNHead": {"features": 4},
    "ResNet": _RESNET
    | {
        "block": backbones.Bottleneck,
        "spatial_conv": (None, None, None, nn.DeformableConv),
        "frozen_stages": 1,
    },
    "ResNet18": _RESNET | {"downsample": nn.CARAFEDownsample},
    "ResNet34": _RESNET | {"stem": backbones.DeepStem},
    "ResNet50": _RESNET | {"block": models.LIPBlock, "downsample": nn.LIPDownsample},
    "ResNet101": _RESNET | {"rematerialize": "blocks"},
    "ResNet152": _RESNET | {"norm": functools.partial(BatchNorm, groups=2)},
    "ResampleConv": _WITH_NORM,
    "SNPatchGAN": {"features": (2, 2), "strides": (2, 2)},
    "UNet": {
        "stage_features": (2, 3),
        "downsample": functools.partial(nn.CARAFEDownsample, **_CARAFE),
        "upsample": functools.partial(nn.CARAFEUpsample, **_CARAFE),
    },
    "BasicBlock": _BLOCK,
    "Bottleneck": _BLOCK,
    "DeepStem": _STEM,
    "Stem": _STEM,
}
# They have no field `dtype`: they compute in that of the layers passed to them.
BLOCKS_OF_RESNET = ("BasicBlock", "Bottleneck", "LIPBlock", "DeepStem", "Stem")
NETWORKS = {
    name
    for name in FIELDS
    if name.endswith(("Net", "GAN", "CARAFE", "Local", "Classifier"))
    or name.startswith("ResNet")
} - {"CARAFE", "PartialCARAFE"}


def classes() -> list[str]:
    """Return the names of all classes, and of the partial that differs most."""
    layers = public_layers()
    return [
        name
        for name in FIELDS
        if isinstance(layers[name], type) or name == "PartialGlobalLocalCARAFE"
    ]


def with_slow_networks(names: Iterable[str]) -> list[Any]:
    """Return names as parameters of a test, networks but one marked as slow."""
    slow = NETWORKS - {"UNet"}
    marks = pytest.mark.slow
    return [pytest.param(x, marks=marks) if x in slow else x for x in names]


def public_layers() -> dict[str, Any]:
    """Return the exported classes and partials that make layers, by name."""
    exported = {
        name: getattr(package, name) for package in PACKAGES for name in package.__all__
    }
    return {name: value for name, value in exported.items() if _makes_layers(value)}


def _makes_layers(value: object) -> bool:
    value = value.func if isinstance(value, functools.partial) else value
    return isinstance(value, type) and issubclass(value, linen.Module)


def made(name: str, lifted=lambda layer: layer, **fields: Any) -> linen.Module:
    """Return a small layer; `lifted` transforms its class first."""
    layer_class = public_layers()[name]
    if isinstance(layer_class, functools.partial):
        return lifted(layer_class.func)(**layer_class.keywords | FIELDS[name] | fields)
    return lifted(layer_class)(**FIELDS[name] | fields)


def inputs_of(name: str, dtype: Any = jnp.float32) -> tuple[Any, ...]:
    """Draw the arguments of a call of the layer, without `train`."""
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.normal(size=(2, 12, 11, 4)), dtype)
    hole = np.ones((2, 12, 11, 1))
    hole[:, 2:5, 1:4] = 0
    valid = jnp.asarray(hole, dtype)
    if name == "GuidedUpsampling":
        return (features[:, ::2, ::2], features)
    if name == "LIPHead":
        return (features, features[..., :3])
    if name.startswith("Partial") and name not in NETWORKS:
        return (nn.Masked(features, valid),)
    if name == "FPN":
        return ((features[:, :4, :4], features[:, :2, :2]),)
    if name == "UNet" or "GlobalLocal" in name:
        return (features[..., :3], 1 - valid)
    return (features,)


def switch_of(name: str, *, train: bool) -> bool:
    """Return the last argument of a call: `train`, or its inverse for `BatchNorm`."""
    return not train if name == "BatchNorm" else train


def variables_of(layer: linen.Module, name: str, dtype: Any = jnp.float32) -> Any:
    """Draw variables with NumPy: compiling initializers takes longer than a test."""
    init = functools.partial(layer.init, jax.random.key(0), *inputs_of(name, dtype))
    shapes = jax.eval_shape(lambda: init(switch_of(name, train=False)))
    rng = np.random.default_rng(1)
    return jax.tree.map(
        # Positive, as variances are.
        lambda leaf: jnp.asarray(rng.uniform(0.1, 0.5, leaf.shape), leaf.dtype),
        shapes,
    )


def primitives(jaxpr: Any) -> Counter[str]:
    """Count the primitives of a jaxpr, including those of nested jaxprs."""
    return Counter(_walk(jaxpr))


def _walk(jaxpr: Any) -> Iterator[str]:
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        yield equation.primitive.name
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")
        ):
            if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                yield from _walk(inner)
