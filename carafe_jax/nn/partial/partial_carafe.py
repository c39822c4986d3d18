"""CARAFE++ over the valid pixels of each window alone."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import DTypeLike

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.nn._validity import checked_masked, valid_windows
from carafe_jax.nn.carafe import CARAFE, CARAFEDownsample
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, make_layer, name_of
from carafe_jax.nn.masked import Masked


# Our own errors for wrong features are clearer.
@no_type_check
class PartialCARAFE(nn.Module):
    """CARAFE++ of a feature map with holes.

    The paper uses CARAFE++ in networks of partial convolutions and updates their masks
    with its kernels (arXiv:2012.04733, section 4.3), but gives no rule. Ours is, with a
    kernel w over a window of pixels x and their validity m, ::

        out = sum(w m x) / sum(w m)        zero where the whole window is hole
        m' = 1 where any pixel of the window is valid, else 0

    It is the rule of partial convolution for kernels that sum to one, as every
    predicted weight is positive. The kernels are predicted from the map with zeros in
    its holes. Pixels outside the map count as holes. If all pixels are valid, the layer
    thus differs from CARAFE++ only in windows that cross the border, which are
    normalised over the pixels inside the map. The kernels of the normalizer "sigmoid"
    do not sum to one; with it, the output is that of "normalized_sigmoid".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import Masked, PartialCARAFE
      >>> image, hole = jnp.ones((1, 5, 8, 3)), jnp.zeros((1, 5, 8, 1))
      >>> layer = PartialCARAFE()
      >>> masked = Masked(image, valid=1 - hole)
      >>> variables = layer.init(jax.random.key(0), masked)
      >>> jax.tree.map(jnp.shape, layer.apply(variables, masked))
      Masked(features=(1, 3, 4, 3), valid=(1, 3, 4, 1))

    Attributes:
      reassembly: Factory of the `CARAFE` layer, whose parameters have the name
        "carafe": its class, or a `functools.partial` of it (default:
        `CARAFEDownsample`).
      dtype: Dtype of the computation (default: that of the features).
      param_dtype: Dtype of the parameters (default: float32).
    """

    reassembly: LayerFactory = CARAFEDownsample
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, masked: Masked, train: bool = False) -> Masked:
        """Reassemble a feature map with holes.

        Args:
          masked: Feature map, floating, and one validity for all of its channels.
          train: Passed to the `CARAFE` layer.

        Returns:
          The map in `dtype` if that is given, else in that of the features, and its
          validity, in the dtype of `valid`.

        Raises:
          RefusedError: Shapes or dtypes do not match, each channel has its own
            validity, or a field is invalid.
        """
        features, valid = checked_masked(masked)
        layer = make_layer(
            "reassembly", self.reassembly, name="carafe", **dtypes_of(self, features)
        )
        if not isinstance(layer, CARAFE):
            raise RefusedError(
                "`reassembly` must make a CARAFE layer, such as CARAFEDownsample, got "
                f"{name_of(self.reassembly)}."
            )
        features = layer(features, train, valid=valid)
        valid = valid_windows(valid, scale=layer.scale, kernel_size=layer.kernel_size)
        return Masked(features, valid)
