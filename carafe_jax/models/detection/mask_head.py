"""The mask head of Mask R-CNN (He et al., arXiv:1703.06870), with any up-sampler."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check
from carafe_jax.errors import no_type_check
from carafe_jax.models.resampling import resample
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.factories import LayerFactory
from carafe_jax.nn.resamplers.base import cast
from carafe_jax.nn.resamplers.convolutional import DeconvUpsample
from carafe_jax.ops import wide_dtype

# He et al. 2015, for ReLU networks.
_kernel_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class MaskHead(nn.Module):
    """3x3 convolutions with ReLUs, an up-sampler, and a mask for each class.

    By default the up-sampler is a deconvolution (window 2, stride 2) followed by a
    ReLU. CARAFE++ takes its place with `upsample=CARAFEUpsample`, without a ReLU
    (arXiv:2012.04733, section 5.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import MaskHead
      >>> head, rois = MaskHead(classes=5, features=8), jnp.ones((3, 14, 14, 8))
      >>> variables = jax.eval_shape(head.init, jax.random.key(0), rois)
      >>> jax.eval_shape(head.apply, variables, rois).shape
      (3, 28, 28, 5)

    Attributes:
      classes: Number of classes, K.
      features: Channels of the convolutions (default: 256).
      convs: Number of 3x3 convolutions (default: 4).
      upsample: Factory of the layer that doubles the map: `CARAFEUpsample`, any other
        up-sampler of `carafe_jax.nn`, a `functools.partial` of one, or another factory
        (`carafe_jax.nn.factories`). None: deconvolution and ReLU (default: None).
      dtype: Dtype of the layers up to the up-sampler (default: that of the features).
        The logits are computed in float32 or wider.
      param_dtype: Dtype of the parameters (default: float32).
    """

    classes: int
    features: int = 256
    convs: int = 4
    upsample: LayerFactory | None = None
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "m h w c"], train: bool = False
    ) -> Float[Array, "m sh sw k"]:
        """Return the logits of each class's mask.

        Args:
          features: Features of M regions of interest, floating, 14x14 in Mask R-CNN.
          train: Passed to `upsample`.

        Returns:
          Logits at twice the size, `sh = 2 * h`, in float32 or wider.

        Raises:
          RefusedError: The features or a field are invalid.
        """
        check_int("classes", self.classes)
        check_int("features", self.features)
        is_int = isinstance(self.convs, int) and not isinstance(self.convs, bool)
        rule = "be an int of at least 0"
        check("convs", self.convs, rule, holds=is_int and self.convs >= 0)
        x = cast(self, features)
        dtypes = dtypes_of(self, x)
        conv = functools.partial(Conv, kernel_init=_kernel_init)
        for index in range(1, self.convs + 1):
            name = f"conv{index}"
            x = nn.relu(conv(self.features, (3, 3), padding=1, name=name, **dtypes)(x))
        x = self._upsampled(x, dtypes, train=train)
        x = x.astype(wide_dtype(x.dtype))
        dtypes = Dtypes(dtype=x.dtype, param_dtype=self.param_dtype)
        return conv(self.classes, (1, 1), name="logits", **dtypes)(x)

    def _upsampled(self, x: Array, dtypes: Dtypes, *, train: bool) -> Array:
        if self.upsample is not None:
            factory = self.upsample
            return resample("upsample", factory, x, train, name="upsample", **dtypes)
        deconv = DeconvUpsample(
            scale=2,
            features=self.features,
            kernel_size=2,
            kernel_init=_kernel_init,
            name="upsample",
            **dtypes,
        )
        return nn.relu(deconv(x))
