"""Every plain and learned resampler, for the tests that they have in common."""

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from carafe_jax.nn import (
    AveragePoolDownsample,
    BilinearConvUpsample,
    BilinearUpsample,
    DeconvUpsample,
    DPPDownsample,
    GUMUpsample,
    LIPDownsample,
    MaxPoolDownsample,
    NearestConvUpsample,
    NearestUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
)
from carafe_jax.nn.resamplers.convolutional import ConvResampler

# Up-samplers that take any scale of at least 1.
ANY_UPSAMPLERS = [
    NearestUpsample,
    BilinearUpsample,
    NearestConvUpsample,
    BilinearConvUpsample,
]
# Up-samplers that take whole scales alone.
WHOLE_UPSAMPLERS = [DeconvUpsample, PixelShuffleUpsample, GUMUpsample]
UPSAMPLERS = ANY_UPSAMPLERS + WHOLE_UPSAMPLERS
# Down-samplers, which take the scales 1/n.
DOWNSAMPLERS = [
    StridedConvDownsample,
    MaxPoolDownsample,
    AveragePoolDownsample,
    LIPDownsample,
    DPPDownsample,
]
LAYERS = UPSAMPLERS + DOWNSAMPLERS
# Layers without parameters; all others have some.
WITHOUT_PARAMETERS = [
    NearestUpsample,
    BilinearUpsample,
    MaxPoolDownsample,
    AveragePoolDownsample,
]
# Layers whose parameters are those of one convolution `conv`, with an odd window.
CONVOLUTIONS = [
    layer
    for layer in LAYERS
    if issubclass(layer, ConvResampler) and layer is not DeconvUpsample
]
LAYERS_AND_SCALES = [
    *itertools.product(ANY_UPSAMPLERS, [1, 2, 3, "3/2", "7/3"]),
    *itertools.product(WHOLE_UPSAMPLERS, [1, 2, 3]),
    *itertools.product(DOWNSAMPLERS, [1, "1/2", "1/3"]),
]


def with_field(name: str) -> list[Any]:
    """Return the layers that have a field."""
    return [
        layer
        for layer in LAYERS
        if name in {field.name for field in dataclasses.fields(layer)}
    ]


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_variables(layer, features):
    """Draw parameters with NumPy: compiling initializers takes longer than a test."""
    shapes = jax.eval_shape(layer.init, jax.random.key(0), features)
    return jax.tree.map(lambda leaf: normal(10, *leaf.shape).astype(leaf.dtype), shapes)


def apply(layer: nn.Module, params, features) -> Any:
    return layer.apply({"params": params}, features)


def run(layer: nn.Module, features, **kwargs) -> Any:
    return layer.apply(drawn_variables(layer, features), features, **kwargs)
