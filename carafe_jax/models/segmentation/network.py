"""The parts that segmentation networks share: backbone, calls and checks."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.backbones.resnet import Stages
from carafe_jax.models.segmentation.outputs import SegmentationOutputs
from carafe_jax.nn.factories import call_layer


# Our own errors for wrong fields and images are clearer.
@no_type_check
class SegmentationNetwork(nn.Module):
    """Base of all segmentation networks: a backbone and a decoder.

    `network.apply(variables, images)` returns the logits at the stride of the decoder,
    and `network.apply(variables, stages, method="decode")` those of feature maps.

    Attributes:
      backbone: Network that returns the maps c2 to c5, as `carafe_jax.models.ResNet`,
        or the map that `decode` takes; its variables are under "backbone".
      classes: Number of classes.
    """

    backbone: nn.Module
    classes: int

    def __call__(
        self, images: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n oh ow k"]:
        """Return the logits of the classes, in float32 or wider.

        Args:
          images: Normalised images.
          train: Whether norms use the statistics of this batch, and dropout is active.
        """
        return self.outputs(images, train).logits

    def outputs(
        self, images: Float[Array, "n h w c"], train: bool = False
    ) -> SegmentationOutputs:
        """Return the logits, and those of the auxiliary head."""
        return self.decode(self.extract(images, train), train)

    # Any: `Stages`, or a map of a U-Net.
    def extract(self, images: Float[Array, "n h w c"], train: bool = False) -> Any:
        """Return the feature maps of the backbone."""
        if not isinstance(self.backbone, nn.Module):
            raise RefusedError(
                "`backbone` must be a network, an instance such as ResNet50(), got "
                f"{self.backbone!r}."
            )
        return call_layer("backbone", type(self.backbone), self.backbone, images, train)

    def decode(self, maps: Any, /, train: bool = False) -> SegmentationOutputs:
        """Return the logits of feature maps."""
        raise NotImplementedError


@no_type_check
def check_maps(stages: Stages, names: tuple[str, ...]) -> None:
    """Raise unless the backbone returned these maps, floating and of rank 4."""
    for name in names:
        stage: Any = getattr(stages, name, None)
        rule = f"have a map `{name}`, as `Stages`"
        check("stages", type(stages).__name__, rule, holds=stage is not None)
        if stage.ndim != 4 or not jnp.issubdtype(stage.dtype, jnp.floating):
            raise RefusedError(
                f"`stages.{name}` must be floating and of rank 4, (N, H, W, C), got "
                f"{stage.dtype} of shape {stage.shape}."
            )
