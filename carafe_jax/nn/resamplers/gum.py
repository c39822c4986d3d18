"""Up-sampling by learned offsets, a baseline of CARAFE++ (table IV of its paper)."""

import jax.numpy as jnp
from carafe_pallas.geometry import Size
from flax import linen as nn
from flax.typing import Dtype, PrecisionLike
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes
from carafe_jax.nn.resamplers.base import ResamplingLayer, cast, whole_scale
from carafe_jax.nn.resamplers.convolutional import pixel_shuffle
from carafe_jax.ops import Scale, sample_bilinear, wide_dtype


# Our own errors for wrong fields and features are clearer.
@no_type_check
class GUMUpsample(ResamplingLayer):
    """Guided up-sampling: bilinear, at positions displaced by predicted offsets.

    "GUM" of table IV of CARAFE++ (Mazzini, arXiv:1807.07466). Output pixel i samples
    the map at `(i + 0.5) / scale - 0.5 + offset`, clamped to the map. The offsets are
    in source pixels and are predicted from the map itself: a 1x1 convolution, a ReLU, a
    3x3 convolution and a pixel shuffle to the channels (dx, dy). The last convolution
    starts at zero, so that the layer starts as `BilinearUpsample`.

    The paper of CARAFE++ gives no details; the layers are our choice.
    `carafe_jax.nn.GuidedUpsampling` predicts the offsets from a second map as well.
    Both layers gather pixels, which is slow on TPUs.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import GUMUpsample
      >>> layer = GUMUpsample(scale=2)
      >>> features = jnp.ones((1, 5, 7, 3))
      >>> layer.init_with_output(jax.random.key(0), features)[0].shape
      (1, 10, 14, 3)

    Attributes:
      scale: Output pixels per source pixel along each side, a whole number (default:
        2).
      compressed_channels: Channels of the 1x1 convolution (default: 64).
      dtype: The dtype of the result; offsets are computed in float32 or wider (default:
        the input's).
      param_dtype: The dtype passed to parameter initializers (default: float32).
      precision: Numerical precision of the convolutions, see `jax.lax.Precision`
        (default: that of the platform).
    """

    scale: Scale = 2
    compressed_channels: int = 64
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    precision: PrecisionLike = None

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n sh sw c"]:
        features = cast(self, features)
        scale = whole_scale(self.scale)
        offsets = self._offsets(features, scale)
        rows, columns = (
            (jnp.arange(length, dtype=offsets.dtype) + 0.5) / scale - 0.5
            for length in offsets.shape[1:3]
        )
        return sample_bilinear(
            features,
            rows=_clamp(
                rows[None, :, None, None] + offsets[..., 1:], features.shape[1]
            ),
            columns=_clamp(
                columns[None, None, :, None] + offsets[..., :1], features.shape[2]
            ),
        )

    def _offsets(
        self, features: Float[Array, "n h w c"], scale: int
    ) -> Float[Array, "n sh sw 2"]:
        """Return (dx, dy) of each output pixel."""
        check_int("compressed_channels", self.compressed_channels)
        # Float32 at least: the 8 bits of a bfloat16 leave large offsets no fraction.
        features = features.astype(wide_dtype(features.dtype))
        dtypes = Dtypes(dtype=features.dtype, param_dtype=self.param_dtype)
        compressor = Conv(
            self.compressed_channels,
            (1, 1),
            precision=self.precision,
            name="channel_compressor",
            **dtypes,
        )
        encoder = Conv(
            2 * scale**2,
            (3, 3),
            padding=1,
            kernel_init=nn.initializers.zeros,
            precision=self.precision,
            name="offset_encoder",
            **dtypes,
        )
        return pixel_shuffle(encoder(nn.relu(compressor(features))), scale)


def _clamp(positions: Float[Array, "n sh sw 1"], size: Size) -> Array:
    return jnp.clip(positions, 0, size - 1)
