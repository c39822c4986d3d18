"""Up-sampling by spatial attention, a baseline of CARAFE++ (table IV of its paper)."""

from carafe_jax.errors import no_type_check
from carafe_jax.nn.carafe import CARAFEUpsample
from carafe_jax.ops import Normalizer


# Our own errors for wrong fields and features are clearer.
@no_type_check
class SpatialAttentionUpsample(CARAFEUpsample):
    """Nearest-neighbour up-sampling, weighted by a number for each output pixel.

    "S.A." of table IV of CARAFE++, which section 3.4 of its paper relates to spatial
    attention: `CARAFEUpsample` with kernels of one tap, a sigmoid of the content
    encoder's output. The other fields are those of `CARAFE`.

    Example usage::

      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.nn import SpatialAttentionUpsample
      >>> layer = SpatialAttentionUpsample(scale=2)
      >>> features = jnp.ones((1, 5, 7, 3))
      >>> layer.init_with_output(jax.random.key(0), features)[0].shape
      (1, 10, 14, 3)

    Attributes:
      kernel_size: Side of the windows (default: 1).
      normalizer: Normalizer of the kernels (default: "sigmoid").
    """

    kernel_size: int = 1
    normalizer: Normalizer = "sigmoid"
