"""Fixed and learned resamplers, the baselines of CARAFE++ in the tables of its paper.

Every layer is called as `layer(features, train=False)` on a feature map (n, h, w, c).
Its `scale` is in output pixels per source pixel; the output has `ceil(scale * h)` rows
and `ceil(scale * w)` columns for every map size. A layer computes in the dtype of its
input and returns that dtype, unless `dtype` is given.
"""

from carafe_jax.nn.resamplers.convolutional import (
    BilinearConvUpsample as BilinearConvUpsample,
)
from carafe_jax.nn.resamplers.convolutional import DeconvUpsample as DeconvUpsample
from carafe_jax.nn.resamplers.convolutional import (
    NearestConvUpsample as NearestConvUpsample,
)
from carafe_jax.nn.resamplers.convolutional import (
    PixelShuffleUpsample as PixelShuffleUpsample,
)
from carafe_jax.nn.resamplers.convolutional import (
    StridedConvDownsample as StridedConvDownsample,
)
from carafe_jax.nn.resamplers.dpp import DPPDownsample as DPPDownsample
from carafe_jax.nn.resamplers.gum import GUMUpsample as GUMUpsample
from carafe_jax.nn.resamplers.interpolation import BilinearUpsample as BilinearUpsample
from carafe_jax.nn.resamplers.interpolation import NearestUpsample as NearestUpsample
from carafe_jax.nn.resamplers.lip import LIPDownsample as LIPDownsample
from carafe_jax.nn.resamplers.lip import LIPHead as LIPHead
from carafe_jax.nn.resamplers.lip import LIPTrunk as LIPTrunk
from carafe_jax.nn.resamplers.lip import pool_by_importance as pool_by_importance
from carafe_jax.nn.resamplers.pooling import (
    AveragePoolDownsample as AveragePoolDownsample,
)
from carafe_jax.nn.resamplers.pooling import MaxPoolDownsample as MaxPoolDownsample
from carafe_jax.nn.resamplers.spatial_attention import (
    SpatialAttentionUpsample as SpatialAttentionUpsample,
)

__all__ = [
    "AveragePoolDownsample",
    "BilinearConvUpsample",
    "BilinearUpsample",
    "DPPDownsample",
    "DeconvUpsample",
    "GUMUpsample",
    "LIPDownsample",
    "LIPHead",
    "LIPTrunk",
    "MaxPoolDownsample",
    "NearestConvUpsample",
    "NearestUpsample",
    "PixelShuffleUpsample",
    "SpatialAttentionUpsample",
    "StridedConvDownsample",
    "pool_by_importance",
]
