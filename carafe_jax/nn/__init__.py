"""Linen layers: CARAFE++ and every baseline under the same call."""

from carafe_jax.nn.batch_norm import BatchNorm as BatchNorm
from carafe_jax.nn.carafe import CARAFE as CARAFE
from carafe_jax.nn.carafe import CARAFEDownsample as CARAFEDownsample
from carafe_jax.nn.carafe import CARAFEUpsample as CARAFEUpsample
from carafe_jax.nn.crop import crop as crop
from carafe_jax.nn.downsample import AveragePoolDownsample as AveragePoolDownsample
from carafe_jax.nn.downsample import MaxPoolDownsample as MaxPoolDownsample
from carafe_jax.nn.downsample import StridedConvDownsample as StridedConvDownsample
from carafe_jax.nn.dpp import DPPDownsample as DPPDownsample
from carafe_jax.nn.lip import LIPDownsample as LIPDownsample
from carafe_jax.nn.lip import LIPHead as LIPHead
from carafe_jax.nn.lip import LIPTrunk as LIPTrunk
from carafe_jax.nn.lip import pool_by_importance as pool_by_importance
from carafe_jax.nn.masked import Masked as Masked
from carafe_jax.nn.partial_block import PartialConvBlock as PartialConvBlock
from carafe_jax.nn.partial_block import PartialResampleConv as PartialResampleConv
from carafe_jax.nn.partial_carafe import PartialCARAFE as PartialCARAFE
from carafe_jax.nn.partial_conv import PartialConv as PartialConv
from carafe_jax.nn.partial_upsample import (
    PartialNearestUpsample as PartialNearestUpsample,
)
from carafe_jax.nn.resize import resize_bilinear as resize_bilinear
from carafe_jax.nn.resize import resize_nearest as resize_nearest
from carafe_jax.nn.upsample import BilinearConvUpsample as BilinearConvUpsample
from carafe_jax.nn.upsample import BilinearUpsample as BilinearUpsample
from carafe_jax.nn.upsample import DeconvUpsample as DeconvUpsample
from carafe_jax.nn.upsample import NearestConvUpsample as NearestConvUpsample
from carafe_jax.nn.upsample import NearestUpsample as NearestUpsample
from carafe_jax.nn.upsample import PixelShuffleUpsample as PixelShuffleUpsample
