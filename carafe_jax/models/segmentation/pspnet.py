"""PSPNet (Zhao et al., arXiv:1612.01105)."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import DTypeLike

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet import Stages
from carafe_jax.models.segmentation.class_head import classify
from carafe_jax.models.segmentation.network import SegmentationNetwork, check_maps
from carafe_jax.models.segmentation.outputs import SegmentationOutputs
from carafe_jax.models.segmentation.pyramid_pooling import PyramidPooling
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class PSPNet(SegmentationNetwork):
    """PSPNet: pyramid pooling on a dilated backbone, and an auxiliary head.

    `logits = head(PyramidPooling(c5))` and `auxiliary_logits = auxiliary(c4)`. The
    defaults are those of semseg, its authors' code. CSAIL's version has
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

    features: int = 512
    bins: Sequence[int] = (1, 2, 3, 6)
    pooled_features: int = 512
    upsample: LayerFactory | None = None
    align_corners: bool = True
    auxiliary_features: int | None = 256
    dropout: float = 0.1
    norm: LayerFactory = BatchNorm
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def decode(self, stages: Stages, train: bool = False) -> SegmentationOutputs:
        """Return the logits of feature maps, at the size of c5.

        Args:
          stages: Maps of the backbone.
          train: Whether norms use the statistics of this batch, and dropout is active.

        Raises:
          RefusedError: A map or a field is invalid.
        """
        check_maps(stages, ("c4", "c5"))
        dtypes = dtypes_of(self, stages.c5)
        fields: dict[str, Any] = {"norm": self.norm, **dtypes}
        pooled = PyramidPooling(
            self.pooled_features,
            bins=self.bins,
            upsample=self.upsample,
            convolve="pooled",
            align_corners=self.align_corners,
            name="pyramid_pooling",
            **fields,
        )(stages.c5.astype(dtypes["dtype"]), train)
        return classify(self, pooled, stages.c4, train=train)
