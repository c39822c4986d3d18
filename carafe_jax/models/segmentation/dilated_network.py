"""The part that PSPNet and PSANet share: their heads on a dilated backbone."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet import Stages
from carafe_jax.models.segmentation.class_head import ClassHead
from carafe_jax.models.segmentation.network import SegmentationNetwork, check_maps
from carafe_jax.models.segmentation.outputs import SegmentationOutputs
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class DilatedNetwork(SegmentationNetwork):
    """Base of `PSPNet` and `PSANet`: context of c5, and two heads.

    `logits = head(with_context(c5))` and `auxiliary_logits = auxiliary_head(c4)`.

    Attributes:
      backbone: Network that returns the maps c2 to c5, with c4 and c5 at the stride of
        the logits: `ResNet(output_stride=8)`.
      classes: Number of classes.
      features: Channels of the head (default: 512).
      auxiliary_features: Channels of the auxiliary head. None: no such head
        (default: 256).
      dropout: Probability with which the heads drop a channel in training (default:
        0.1).
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the features (default: that of the maps).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int = 512
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
        head = functools.partial(
            ClassHead, self.classes, dropout=self.dropout, norm=self.norm, **dtypes
        )
        c4, c5 = (x.astype(dtypes["dtype"]) for x in (stages.c4, stages.c5))
        features = self.with_context(c5, train=train)
        logits = head(features=self.features, name="head")(features, train)
        if self.auxiliary_features is None:
            return SegmentationOutputs(logits)
        auxiliary = head(features=self.auxiliary_features, name="auxiliary_head")
        return SegmentationOutputs(logits, auxiliary(c4, train))

    def with_context(
        self, c5: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w d"]:
        """Return the last map of the backbone, with its context, concatenated."""
        raise NotImplementedError
