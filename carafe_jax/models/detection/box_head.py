"""The box head of Faster R-CNN: the class and the box of each region of interest."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.resamplers.base import cast
from carafe_jax.ops import wide_dtype


class BoxOutputs(NamedTuple):
    """Predictions for each region of interest (RoI), in float32 or wider."""

    logits: Float[Array, "m k+1"]
    """Logits of the K classes and, last, of the background."""
    deltas: Float[Array, "m k 4"]
    """Encoded box of each class relative to the RoI: x, y, log width, log height."""


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class BoxHead(nn.Module):
    """Two fully connected layers with ReLUs, then the logits and a box for each class.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import BoxHead
      >>> head, rois = BoxHead(classes=5, hidden=16), jnp.ones((3, 7, 7, 8))
      >>> variables = head.init(jax.random.key(0), rois)
      >>> logits, deltas = head.apply(variables, rois)
      >>> logits.shape, deltas.shape
      ((3, 6), (3, 5, 4))

    Attributes:
      classes: Number of classes, K, without the background.
      hidden: Channels of the fully connected layers (default: 1024).
      dtype: Dtype of the fully connected layers (default: that of the features). The
        outputs are computed in float32 or wider.
      param_dtype: Dtype of the parameters (default: float32).
    """

    classes: int
    hidden: int = 1024
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "m h w c"], train: bool = False
    ) -> BoxOutputs:
        """Return the predictions for RoIs.

        Args:
          features: Features of M RoIs, floating, all of the size that the weights fit:
            7x7 in the detectors of mmdetection.
          train: Unused; layers have one call signature.

        Raises:
          RefusedError: The features or a field are invalid.
        """
        check_int("classes", self.classes)
        check_int("hidden", self.hidden)
        features = cast(self, features)
        m, height, width, channels = features.shape
        x = features.reshape(m, height * width * channels)
        fc = functools.partial(
            nn.Dense,
            self.hidden,
            kernel_init=nn.initializers.xavier_uniform(),
            **dtypes_of(self, features),
        )
        x = nn.relu(fc(name="fc1")(x))
        x = nn.relu(fc(name="fc2")(x))
        x = x.astype(wide_dtype(x.dtype))
        dense = functools.partial(nn.Dense, dtype=x.dtype, param_dtype=self.param_dtype)
        normal = nn.initializers.normal
        logits = dense(self.classes + 1, kernel_init=normal(0.01), name="logits")(x)
        deltas = dense(4 * self.classes, kernel_init=normal(0.001), name="deltas")(x)
        return BoxOutputs(logits, deltas.reshape(m, self.classes, 4))
