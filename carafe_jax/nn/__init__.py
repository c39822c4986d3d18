"""Linen layers: CARAFE++ and its baselines, with one call signature."""

from carafe_jax.nn.batch_norm import BatchNorm as BatchNorm
from carafe_jax.nn.carafe import CARAFE as CARAFE
from carafe_jax.nn.carafe import CARAFEDownsample as CARAFEDownsample
from carafe_jax.nn.carafe import CARAFEUpsample as CARAFEUpsample
from carafe_jax.nn.crop import crop as crop
from carafe_jax.nn.deformable_conv import DeformableConv as DeformableConv
from carafe_jax.nn.guided_upsampling import GuidedUpsampling as GuidedUpsampling
from carafe_jax.nn.initializers import gaussian_kernel_bias as gaussian_kernel_bias
from carafe_jax.nn.masked import Masked as Masked
from carafe_jax.nn.partial import PartialCARAFE as PartialCARAFE
from carafe_jax.nn.partial import PartialConv as PartialConv
from carafe_jax.nn.partial import PartialConvBlock as PartialConvBlock
from carafe_jax.nn.partial import PartialNearestUpsample as PartialNearestUpsample
from carafe_jax.nn.partial import PartialResampleConv as PartialResampleConv
from carafe_jax.nn.resamplers import AveragePoolDownsample as AveragePoolDownsample
from carafe_jax.nn.resamplers import BilinearConvUpsample as BilinearConvUpsample
from carafe_jax.nn.resamplers import BilinearUpsample as BilinearUpsample
from carafe_jax.nn.resamplers import DeconvUpsample as DeconvUpsample
from carafe_jax.nn.resamplers import DPPDownsample as DPPDownsample
from carafe_jax.nn.resamplers import GUMUpsample as GUMUpsample
from carafe_jax.nn.resamplers import LIPDownsample as LIPDownsample
from carafe_jax.nn.resamplers import LIPHead as LIPHead
from carafe_jax.nn.resamplers import LIPTrunk as LIPTrunk
from carafe_jax.nn.resamplers import MaxPoolDownsample as MaxPoolDownsample
from carafe_jax.nn.resamplers import NearestConvUpsample as NearestConvUpsample
from carafe_jax.nn.resamplers import NearestUpsample as NearestUpsample
from carafe_jax.nn.resamplers import PixelShuffleUpsample as PixelShuffleUpsample
from carafe_jax.nn.resamplers import (
    SpatialAttentionUpsample as SpatialAttentionUpsample,
)
from carafe_jax.nn.resamplers import StridedConvDownsample as StridedConvDownsample
from carafe_jax.nn.resamplers import pool_by_importance as pool_by_importance
from carafe_jax.nn.resize import resize_bilinear as resize_bilinear
from carafe_jax.nn.resize import resize_nearest as resize_nearest

__all__ = [
    "CARAFE",
    "AveragePoolDownsample",
    "BatchNorm",
    "BilinearConvUpsample",
    "BilinearUpsample",
    "CARAFEDownsample",
    "CARAFEUpsample",
    "DPPDownsample",
    "DeconvUpsample",
    "DeformableConv",
    "GUMUpsample",
    "GuidedUpsampling",
    "LIPDownsample",
    "LIPHead",
    "LIPTrunk",
    "Masked",
    "MaxPoolDownsample",
    "NearestConvUpsample",
    "NearestUpsample",
    "PartialCARAFE",
    "PartialConv",
    "PartialConvBlock",
    "PartialNearestUpsample",
    "PartialResampleConv",
    "PixelShuffleUpsample",
    "SpatialAttentionUpsample",
    "StridedConvDownsample",
    "crop",
    "gaussian_kernel_bias",
    "pool_by_importance",
    "resize_bilinear",
    "resize_nearest",
]
