"""The pyramid pooling module of PSPNet (Zhao et al., arXiv:1612.01105)."""

import functools
from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check_choice, check_ints
from carafe_jax.errors import no_type_check
from carafe_jax.models.conv_blocks import ConvBlock
from carafe_jax.models.resampling import upsample_to
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory
from carafe_jax.nn.resize import resize_bilinear
from carafe_jax.ops import adaptive_average_pool


# Our own errors for wrong fields and features are clearer.
@no_type_check
class PyramidPooling(nn.Module):
    """Averages of a map over grids of several sizes, beside the map itself.

    For each of `bins`, the map is averaged over b x b bins, resized back to its own
    size, and convolved (1x1, norm, ReLU). With `upsample`, the resizing has two steps
    (arXiv:2012.04733, section 4.2): bilinear to half the size, rounded up, then the
    up-sampler, whose result is cropped.

    Attributes:
      features: Channels of each scale (default: 512).
      bins: Bins along each side, for each scale (default: 1, 2, 3, 6).
      upsample: Factory of the up-samplers, which double a map: `CARAFEUpsample`, any
        other of `carafe_jax.nn`, a `functools.partial` of one, or another factory
        (`carafe_jax.nn.factories`). None: bilinear (default: None).
      convolve: Place of the convolution: "enlarged" maps, as in CSAIL's UperNet, or
        "pooled" ones, as in PSPNet (default: "enlarged").
      align_corners: Whether the bilinear interpolation aligns the corners of both maps
        (`resize_bilinear`) (default: False).
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the computation (default: that of the map).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int = 512
    bins: Sequence[int] = (1, 2, 3, 6)
    upsample: LayerFactory | None = None
    convolve: Literal["enlarged", "pooled"] = "enlarged"
    align_corners: bool = False
    norm: LayerFactory = BatchNorm
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n h w p"]:
        """Return the map and all scales, concatenated along the channels.

        Args:
          features: Feature map, floating.
          train: Whether norms use the statistics of this batch; passed to `upsample`.

        Returns:
          The map with c + len(bins) * `features` channels: the map itself first, then
          the scales in the order of `bins`.

        Raises:
          RefusedError: The map or a field is invalid, or norms in training have a
            single value per channel: one example, averaged over one bin.
        """
        check_int("features", self.features)
        check_ints("bins", self.bins)
        check_choice("convolve", self.convolve, ("enlarged", "pooled"))
        features = checked_features(features).astype(dtypes_of(self, features)["dtype"])
        scales = [
            self._scale(features, index, bins, train=train)
            for index, bins in enumerate(self.bins)
        ]
        return jnp.concatenate([features, *scales], axis=-1)

    def _scale(
        self, features: Float[Array, "n h w c"], index: int, bins: int, *, train: bool
    ) -> Float[Array, "n h w f"]:
        dtypes = dtypes_of(self, features)
        convolve = ConvBlock(
            self.features,
            kernel_size=1,
            norm=self.norm,
            name=f"conv_{index}",
            **dtypes,
        )
        x = adaptive_average_pool(features, size=(bins, bins))
        if self.convolve == "pooled":
            x = convolve(x, train)
        size = features.shape[1:3]
        resize = functools.partial(resize_bilinear, align_corners=self.align_corners)
        if self.upsample is not None:
            x = resize(x, size=[-(-length // 2) for length in size])
        x = upsample_to(
            "upsample",
            self.upsample,
            x,
            train,
            size=size,
            resize=resize,
            name=f"upsample_{index}",
            **dtypes,
        )
        return x if self.convolve == "pooled" else convolve(x, train)
