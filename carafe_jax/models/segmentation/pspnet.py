"""PSPNet (Zhao et al., arXiv:1612.01105)."""

from collections.abc import Sequence

from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.segmentation.dilated_network import DilatedNetwork
from carafe_jax.models.segmentation.pyramid_pooling import PyramidPooling
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class PSPNet(DilatedNetwork):
    """PSPNet: pyramid pooling on a dilated backbone, and an auxiliary head.

    `logits = head(PyramidPooling(c5))` and `auxiliary_logits = auxiliary_head(c4)`.
    The defaults are those of semseg, its authors' code. CSAIL's version has
    `align_corners=False`, `auxiliary_features=512`, and a backbone with
    `contract_dilation=True`.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import DeepStem, PSPNet, ResNet50
      >>> network = PSPNet(ResNet50(stem=DeepStem, output_stride=8), classes=11)
      >>> images = jnp.zeros((2, 97, 97, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
      >>> jax.eval_shape(network.apply, variables, images).shape
      (2, 13, 13, 11)

    Attributes:
      backbone: Network that returns the maps c2 to c5, with c4 and c5 at the stride of
        the logits: `ResNet(output_stride=8)`.
      classes: Number of classes.
      features: Channels of the head (default: 512).
      bins: Bins along each side of the pyramid pooling (default: 1, 2, 3, 6).
      pooled_features: Channels of each scale of the pyramid pooling (default: 512).
      upsample: Factory of the up-samplers of the pyramid pooling, as for
        `PyramidPooling` (default: None).
      align_corners: Whether interpolation aligns the corners (default: True).
      auxiliary_features: Channels of the auxiliary head. None: no such head
        (default: 256).
      dropout: Probability with which the heads drop a channel in training (default:
        0.1).
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the features (default: that of the maps).
      param_dtype: Dtype of the parameters (default: float32).
    """

    bins: Sequence[int] = (1, 2, 3, 6)
    pooled_features: int = 512
    upsample: LayerFactory | None = None
    align_corners: bool = True

    def with_context(
        self, c5: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w d"]:
        """Return the last map of the backbone, with its averages over bins."""
        return PyramidPooling(
            self.pooled_features,
            bins=self.bins,
            upsample=self.upsample,
            convolve="pooled",
            align_corners=self.align_corners,
            norm=self.norm,
            name="pyramid_pooling",
            **dtypes_of(self, c5),
        )(c5, train)
