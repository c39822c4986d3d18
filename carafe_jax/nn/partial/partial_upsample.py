"""Nearest-neighbour up-sampling of a feature map and its validity."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import DTypeLike

from carafe_jax.errors import no_type_check
from carafe_jax.nn._validity import checked_masked
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.masked import Masked
from carafe_jax.nn.resamplers.interpolation import NearestUpsample


# Our own errors for wrong fields and features are clearer.
@no_type_check
class PartialNearestUpsample(nn.Module):
    """Nearest-neighbour up-sampling of a map with holes, and of its validity.

    The up-sampler between the partial convolutions of Liu et al. (arXiv:1804.07723).

    Attributes:
      scale: Output pixels per source pixel along each side (default: 2).
      dtype: Dtype of the output features (default: that of the input).
      param_dtype: Unused: there are no parameters.
    """

    scale: int = 2
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, masked: Masked, train: bool = False) -> Masked:
        """Repeat each pixel and its validity; `train` is unused."""
        features, valid = checked_masked(masked)
        features = features.astype(dtypes_of(self, features)["dtype"])
        resample = NearestUpsample(scale=self.scale)
        return Masked(*(resample(x, train) for x in (features, valid)))
