"""Linen layers: CARAFE++ and every baseline under the same call."""

from carafe_jax.nn.batch_norm import BatchNorm as BatchNorm
from carafe_jax.nn.carafe import CARAFE as CARAFE
from carafe_jax.nn.carafe import CARAFEDownsample as CARAFEDownsample
from carafe_jax.nn.carafe import CARAFEUpsample as CARAFEUpsample
from carafe_jax.nn.crop import crop as crop
from carafe_jax.nn.resample import AveragePoolDownsample as AveragePoolDownsample
from carafe_jax.nn.resample import BilinearConvUpsample as BilinearConvUpsample
from carafe_jax.nn.resample import BilinearUpsample as BilinearUpsample
from carafe_jax.nn.resample import DeconvUpsample as DeconvUpsample
from carafe_jax.nn.resample import MaxPoolDownsample as MaxPoolDownsample
from carafe_jax.nn.resample import NearestConvUpsample as NearestConvUpsample
from carafe_jax.nn.resample import NearestUpsample as NearestUpsample
from carafe_jax.nn.resample import PixelShuffleUpsample as PixelShuffleUpsample
from carafe_jax.nn.resample import StridedConvDownsample as StridedConvDownsample
from carafe_jax.nn.resample import resize_bilinear as resize_bilinear
from carafe_jax.nn.resample import resize_nearest as resize_nearest
