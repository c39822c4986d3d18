"""The head of a region proposal network (Ren et al., arXiv:1506.01497)."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.resamplers.base import cast
from carafe_jax.ops import wide_dtype


class RPNOutputs(NamedTuple):
    """Predictions of a level for each anchor, in the order row, column, anchor."""

    logits: Float[Array, "n _"]
    """Logit of an object, in float32 or wider."""
    deltas: Float[Array, "n _ 4"]
    """Encoded box relative to the anchor: x, y, log width, log height."""


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class RPNHead(nn.Module):
    """A 3x3 convolution and ReLU, then the logit and the box of each anchor.

    One head serves all levels of a pyramid: call it on each.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import RPNHead
      >>> head, level = RPNHead(features=8), jnp.ones((2, 6, 5, 8))
      >>> variables = head.init(jax.random.key(0), level)
      >>> logits, deltas = head.apply(variables, level)
      >>> logits.shape, deltas.shape
      ((2, 90), (2, 90, 4))

    Attributes:
      features: Channels of the 3x3 convolution (default: 256).
      anchors: Anchors of each pixel, A (default: 3).
      dtype: Dtype of the 3x3 convolution (default: that of the map). The outputs are
        computed in float32 or wider.
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int = 256
    anchors: int = 3
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "n h w c"], train: bool = False
    ) -> RPNOutputs:
        """Return the predictions of one level.

        Args:
          features: Level of a pyramid, floating.
          train: Unused; layers have one call signature.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        check_int("features", self.features)
        check_int("anchors", self.anchors)
        x = cast(self, features)
        conv = functools.partial(Conv, kernel_init=nn.initializers.normal(0.01))
        dtypes = dtypes_of(self, x)
        x = nn.relu(conv(self.features, (3, 3), padding=1, name="conv", **dtypes)(x))
        x = x.astype(wide_dtype(x.dtype))
        dtypes = Dtypes(dtype=x.dtype, param_dtype=self.param_dtype)
        logits = conv(self.anchors, (1, 1), name="logits", **dtypes)(x)
        deltas = conv(4 * self.anchors, (1, 1), name="deltas", **dtypes)(x)
        n, height, width, _ = logits.shape
        count = height * width * self.anchors
        return RPNOutputs(logits.reshape(n, count), deltas.reshape(n, count, 4))
