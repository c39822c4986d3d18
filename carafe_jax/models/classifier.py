"""A linear classifier on a backbone."""

import dataclasses
import functools
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check_choices
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.backbones.choices import (
    Depth,
    Downsampler,
    Normalizer,
    StemChoice,
    check_bottlenecks,
    make_resnet,
)
from carafe_jax.nn import BatchNorm
from carafe_jax.nn.dtypes import checked_dtype
from carafe_jax.nn.factories import call_layer
from carafe_jax.ops import wide_dtype


# Our own errors for wrong fields are clearer; the backbone checks the image.
@no_type_check
class Classifier(nn.Module):
    """Global average pooling and a linear classifier on the last map of a backbone.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import Classifier, ResNet18
      >>> network = Classifier(ResNet18(), classes=10)
      >>> image = jnp.zeros((2, 64, 64, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), image)
      >>> jax.eval_shape(network.apply, variables, image).shape
      (2, 10)

    Attributes:
      backbone: Network that returns a `c5`, as `carafe_jax.models.ResNet`; its
        variables are under "backbone".
      classes: Number of classes.
      param_dtype: Dtype of the parameters of the classifier (default: float32).
    """

    backbone: nn.Module
    classes: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n k"]:
        """Return the logits of each image, in float32 or wider."""
        if not isinstance(self.backbone, nn.Module):
            raise RefusedError(
                "`backbone` must be a network, an instance such as ResNet50(), got "
                f"{self.backbone!r}."
            )
        maps = call_layer("backbone", type(self.backbone), self.backbone, image, train)
        last = maps.c5
        dtype = wide_dtype(last.dtype)
        return nn.Dense(
            self.classes,
            # Goyal et al. 2017, section 5.1.
            kernel_init=nn.initializers.normal(0.01),
            dtype=dtype,
            param_dtype=checked_dtype("param_dtype", self.param_dtype),
            name="classifier",
        )(last.astype(dtype).mean((1, 2)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierConfig:
    """Size, stem and down-sampler of a `Classifier` on a ResNet."""

    depth: Depth = 50
    """Number of layers of the ResNet."""
    downsampler: Downsampler = "carafe"
    """Down-sampler in the seven places of the paper's section 4.1. "conv": strided
    convolutions, and max pooling in the stem; the others of table III precede
    convolutions without stride. "lip_bottleneck": LIP in the bottleneck blocks of its
    own paper."""
    width: int = 64
    """Channels of the stem; each stage has twice as many as the one before."""
    stem: StemChoice = "plain"
    """Stem of the ResNet. "plain": one convolution of 7x7; "deep": three of 3x3, as in
    the published segmentation networks."""
    compressed_channels: int = 16
    """Input channels of the content encoders of CARAFE++ (C_m of the paper; table XII
    has 4 to 64)."""
    normalizer: Normalizer = "softmax"
    """Normalizer of the kernels of CARAFE++ (table XIV)."""
    norm_groups: int = 1
    """Number of groups of consecutive examples, each with its own batch norm
    statistics: the 16 devices of the paper, with 64 images each, are 16 groups of a
    batch of 1024."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the computation; parameters, statistics and logits are float32."""
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    """Activations to recompute in the backward pass: "blocks" stores only the inputs of
    blocks, to save memory."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in ("width", "compressed_channels", "norm_groups"):
            if getattr(self, name) < 1:
                raise RefusedError(
                    f"`{name}` must be positive, got {getattr(self, name)}."
                )
        if self.downsampler == "lip_bottleneck":
            check_bottlenecks("downsampler", self.downsampler, depth=self.depth)

    def make(self, classes: int) -> Classifier:
        """Return the network."""
        backbone = make_resnet(
            self.depth,
            self.downsampler,
            compressed_channels=self.compressed_channels,
            stem=self.stem,
            normalizer=self.normalizer,
            norm=functools.partial(BatchNorm, groups=self.norm_groups),
            width=self.width,
            rematerialize=self.rematerialize,
            dtype=self.dtype,
        )
        return Classifier(backbone, classes=classes)
