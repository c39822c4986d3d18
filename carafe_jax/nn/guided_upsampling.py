"""Up-sampling of a map at offsets predicted from a larger map."""

import functools
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._arguments import checked_features
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, make_norm
from carafe_jax.nn.resize import aligned_positions
from carafe_jax.ops import sample_bilinear, wide_dtype

_he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class GuidedUpsampling(nn.Module):
    """Guided up-sampling of a map to the size of its guidance.

    The guided up-sampling module of Mazzini (arXiv:1807.07466), with the layers of its
    public implementation in PyTorch:

    1. The map is enlarged to the guidance's size (bilinear, `align_corners=True`).
    2. A 3x3 convolution of the enlarged map, with dilation 2, and a 1x1 convolution of
       the guidance are added.
    3. From the sum, three 3x3 convolutions predict an offset (dx, dy), in output
       pixels, for each output pixel.
    4. The map is enlarged again, at positions displaced by the offsets. Pixels outside
       the map count as zero.

    The last convolution starts at zero, so that the layer starts as the bilinear
    enlargement.

    If the collection "intermediates" is mutable, (dx, dy) are sown as "offsets".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import GuidedUpsampling
      >>> features, guidance = jnp.ones((1, 4, 5, 8)), jnp.ones((1, 9, 11, 3))
      >>> layer = GuidedUpsampling()
      >>> layer.init_with_output(jax.random.key(0), features, guidance)[0].shape
      (1, 9, 11, 8)

    Attributes:
      norm: Factory of the norms after the convolutions, which then have no bias
        (`carafe_jax.nn.factories`). None: no norms (default: None).
      dtype: Dtype of the computation and the result (default: that of the map).
      param_dtype: Dtype of the parameters (default: float32).
    """

    norm: LayerFactory | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "n h w c"],
        guidance: Float[Array, "n sh sw g"],
        train: bool = False,
    ) -> Float[Array, "n sh sw c"]:
        """Enlarge a feature map.

        Args:
          features: Feature map, floating.
          guidance: Feature map of the output's size, floating.
          train: Whether `norm` uses the statistics of this batch.

        Returns:
          The enlarged map, in `dtype` if that is given, else in that of `features`.

        Raises:
          RefusedError: A map or a field is invalid.
        """
        features, guidance = map(checked_features, (features, guidance))
        if features.shape[0] != guidance.shape[0]:
            raise RefusedError(
                f"`guidance` must have the {features.shape[0]} examples of `features`, "
                f"got shape {guidance.shape}."
            )
        dtypes = dtypes_of(self, features)
        features, guidance = (x.astype(dtypes["dtype"]) for x in (features, guidance))
        wide = wide_dtype(features.dtype)
        rows, row_step = aligned_positions(features.shape[1], guidance.shape[1], wide)
        columns, column_step = aligned_positions(
            features.shape[2], guidance.shape[2], wide
        )
        rows, columns = rows[None, :, None, None], columns[None, None, :, None]
        still = jnp.zeros((*guidance.shape[:3], 1), wide)
        enlarged = sample_bilinear(features, rows=rows + still, columns=columns + still)
        offsets = self._offsets(enlarged, guidance, train=train)
        self.sow("intermediates", "offsets", offsets)
        offsets = offsets.astype(wide)
        return sample_bilinear(
            features,
            rows=rows + offsets[..., 1:] * row_step,
            columns=columns + offsets[..., :1] * column_step,
        )

    def _offsets(
        self, enlarged: Array, guidance: Array, *, train: bool
    ) -> Float[Array, "n sh sw 2"]:
        dtypes = dtypes_of(self, enlarged)

        def block(
            x: Array, features: int, name: str, side: int = 3, **fields: Any
        ) -> Array:
            conv = functools.partial(Conv, kernel_init=_he_normal, **dtypes)
            x = conv(
                features,
                (side, side),
                use_bias=self.norm is None,
                name=f"{name}_conv",
                **fields,
            )(x)
            if self.norm is None:
                return x
            return make_norm(self.norm, train=train, name=f"{name}_norm", **dtypes)(x)

        channels = enlarged.shape[-1]
        x = block(enlarged, channels, "features", padding=2, kernel_dilation=2)
        x = nn.relu(x + block(guidance, channels, "guidance", side=1))
        x = nn.relu(block(x, max(channels // 2, 1), "first", padding=1))
        x = nn.relu(block(x, max(channels // 4, 1), "second", padding=1))
        zeros = nn.initializers.zeros
        return block(x, 2, "offset", padding=1, kernel_init=zeros)
