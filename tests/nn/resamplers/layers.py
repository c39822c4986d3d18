"""Every plain and learned resampler, for the tests that they have in common."""

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
    LIPDownsample,
    MaxPoolDownsample,
    NearestConvUpsample,
    NearestUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
)

ANY_UPSAMPLERS = [
    NearestUpsample,
    BilinearUpsample,
    NearestConvUpsample,
    BilinearConvUpsample,
]
WHOLE_UPSAMPLERS = [DeconvUpsample, PixelShuffleUpsample]
UPSAMPLERS = ANY_UPSAMPLERS + WHOLE_UPSAMPLERS
POOLS = [MaxPoolDownsample, AveragePoolDownsample]
LEARNED_POOLS = [LIPDownsample, DPPDownsample]
DOWNSAMPLERS = [StridedConvDownsample, *POOLS, *LEARNED_POOLS]
CONVOLUTIONS = [
    NearestConvUpsample,
    BilinearConvUpsample,
    PixelShuffleUpsample,
    StridedConvDownsample,
]
LAYERS = UPSAMPLERS + DOWNSAMPLERS
LAYERS_AND_SCALES = [
    *itertools.product(ANY_UPSAMPLERS, [1, 2, 3, "3/2", "7/3"]),
    *itertools.product(WHOLE_UPSAMPLERS, [1, 2, 3]),
    *itertools.product(DOWNSAMPLERS, [1, "1/2", "1/3"]),
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
