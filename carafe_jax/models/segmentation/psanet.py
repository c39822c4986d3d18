"""PSANet (Zhao et al. 2018)."""

from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.segmentation.dilated_network import DilatedNetwork
from carafe_jax.models.segmentation.point_wise_attention import PointWiseAttention
from carafe_jax.nn.dtypes import dtypes_of


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class PSANet(DilatedNetwork):
    """PSANet: point-wise spatial attention on a dilated backbone.

    `logits = head(PointWiseAttention(c5))` and `auxiliary_logits =
    auxiliary_head(c4)`, as in semseg, its authors' code.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import DeepStem, PSANet, ResNet50
      >>> backbone = ResNet50(stem=DeepStem, output_stride=8)
      >>> network = PSANet(backbone, classes=11, window=(13, 13))
      >>> images = jnp.zeros((2, 97, 97, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
      >>> jax.eval_shape(network.apply, variables, images).shape
      (2, 13, 13, 11)

    Attributes:
      backbone: Network that returns the maps c2 to c5, with c4 and c5 at the stride of
        the logits: `ResNet(output_stride=8)`.
      classes: Number of classes.
      window: Rows and columns of the attention, both odd. With images of up to 16 k
        pixels, 2 k - 1 covers all pairs of positions: 59 for 465 or 480.
      features: Channels of the head and of the attention (default: 512).
      shrink: Factor by which the attended map is smaller than c5 (default: 2).
      auxiliary_features: Channels of the auxiliary head. None: no such head
        (default: 256).
      dropout: Probability with which the heads drop a channel in training (default:
        0.1).
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the features (default: that of the maps).
      param_dtype: Dtype of the parameters (default: float32).
    """

    window: tuple[int, int] = (59, 59)
    shrink: int = 2

    def with_context(
        self, c5: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w d"]:
        """Return the last map of the backbone, with what it attends to."""
        return PointWiseAttention(
            self.window,
            self.features,
            shrink=self.shrink,
            norm=self.norm,
            name="attention",
            **dtypes_of(self, c5),
        )(c5, train)
