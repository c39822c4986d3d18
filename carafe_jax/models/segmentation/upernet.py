"""UperNet (Xiao et al., arXiv:1807.10221), with CARAFE++ in its decoder."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.backbones.resnet import Stages
from carafe_jax.models.conv_blocks import ConvBlock
from carafe_jax.models.resampling import upsample_to
from carafe_jax.models.segmentation.class_head import ClassHead
from carafe_jax.models.segmentation.network import SegmentationNetwork, check_maps
from carafe_jax.models.segmentation.outputs import SegmentationOutputs
from carafe_jax.models.segmentation.pyramid_pooling import PyramidPooling
from carafe_jax.nn._arguments import check_int
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, bind
from carafe_jax.nn.resize import resize_bilinear

# As in CSAIL's code: a shift of the decoder's norms.
_SHIFT = 1e-4


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class UperNet(SegmentationNetwork):
    """UperNet: pyramid pooling, a feature pyramid, and a fusion of its levels.

    With `block` a convolution without bias, a norm and a ReLU::

        p5 = block 3x3 (PyramidPooling(c5))
        top[5] = p5;  top[l] = block 1x1 (c[l]) + up(top[l + 1])    for l = 4, 3, 2
        p[l] = block 3x3 (top[l])                                   for l = 4, 3, 2
        logits = conv 1x1 (block 3x3 (fused p2 ... p5))

    Levels are up-sampled in three places (arXiv:2012.04733, section 4.2), each with its
    own factory. None is bilinear interpolation to the other map's size, as in CSAIL's
    code. An up-sampler doubles the map, and the result is cropped to that size.

    - Pyramid pooling (PPM): see `PyramidPooling`.
    - The feature pyramid (FPN).
    - The fusion (FUSE). None: all levels are resized to p2's size at once. With an
      up-sampler, level by level: `fused[l] = [p[l], up(fused[l + 1])]`; with
      `BilinearUpsample` the interpolation alone becomes sequential.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import DeepStem, ResNet18, UperNet
      >>> from carafe_jax.nn import CARAFEUpsample
      >>> network = UperNet(
      ...     ResNet18(stem=DeepStem),
      ...     classes=11,
      ...     features=32,
      ...     fuse_upsample=CARAFEUpsample,
      ... )
      >>> images = jnp.zeros((1, 96, 128, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
      >>> jax.eval_shape(network.apply, variables, images).shape
      (1, 24, 32, 11)

    Attributes:
      backbone: Network that returns the maps c2 to c5, as `carafe_jax.models.ResNet`.
      classes: Number of classes.
      features: Channels of the decoder (default: 512).
      bins: Bins along each side of the pyramid pooling (default: 1, 2, 3, 6).
      pooled_features: Channels of each scale of the pyramid pooling (default:
        `features`).
      ppm_upsample: Factory of the up-samplers of the pyramid pooling (default: None).
      fpn_upsample: Factory of the up-samplers of the feature pyramid (default: None).
      fuse_upsample: Factory of the up-samplers of the fusion (default: None).
      norm: Factory of the norms (default: `BatchNorm`).
      dtype: Dtype of the features (default: that of the maps).
      param_dtype: Dtype of the parameters (default: float32).
    """

    features: int = 512
    bins: Sequence[int] = (1, 2, 3, 6)
    pooled_features: int | None = None
    ppm_upsample: LayerFactory | None = None
    fpn_upsample: LayerFactory | None = None
    fuse_upsample: LayerFactory | None = None
    norm: LayerFactory = BatchNorm
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def decode(self, stages: Stages, train: bool = False) -> SegmentationOutputs:
        """Return the logits of feature maps, at the size of c2.

        Args:
          stages: Maps of the backbone.
          train: Whether norms use the statistics of this batch; passed to up-samplers.

        Raises:
          RefusedError: The maps do not fit together, or a field is invalid.
        """
        check_int("features", self.features)
        check_maps(stages, ("c2", "c3", "c4", "c5"))
        dtypes = dtypes_of(self, stages.c2)
        shift = nn.initializers.constant(_SHIFT)
        fields: dict[str, Any] = {
            "norm": bind("norm", self.norm, bias_init=shift),
            **dtypes,
        }
        block = functools.partial(ConvBlock, self.features, **fields)
        pooled = PyramidPooling(
            self.features if self.pooled_features is None else self.pooled_features,
            bins=self.bins,
            upsample=self.ppm_upsample,
            name="pyramid_pooling",
            **fields,
        )(stages.c5.astype(dtypes["dtype"]), train)
        top = block(kernel_size=3, name="bottleneck")(pooled, train)
        levels = [top]
        for level in (4, 3, 2):
            stage = getattr(stages, f"c{level}").astype(dtypes["dtype"])
            lateral = block(kernel_size=1, name=f"lateral_{level}")(stage, train)
            top = lateral + upsample_to(
                "fpn_upsample",
                self.fpn_upsample,
                top,
                train,
                size=lateral.shape[1:3],
                resize=resize_bilinear,
                name=f"fpn_upsample_{level}",
                **dtypes,
            )
            output = block(kernel_size=3, name=f"output_{level}")(top, train)
            levels.insert(0, output)
        head = ClassHead(self.classes, self.features, name="head", **fields)
        return SegmentationOutputs(head(self._fuse(levels, train=train), train))

    def _fuse(self, levels: Sequence[Array], *, train: bool) -> Float[Array, "n h w f"]:
        """Return all levels at the finest size, concatenated along the channels."""
        dtypes = dtypes_of(self, levels[0])
        size = levels[0].shape[1:3]
        if self.fuse_upsample is None:
            resized = [resize_bilinear(level, size=size) for level in levels[1:]]
            return jnp.concatenate([levels[0], *resized], axis=-1)
        *finer, fused = levels
        for level, output in reversed([*enumerate(finer, 2)]):
            fused = upsample_to(
                "fuse_upsample",
                self.fuse_upsample,
                fused,
                train,
                size=output.shape[1:3],
                resize=resize_bilinear,
                name=f"fuse_upsample_{level}",
                **dtypes,
            )
            fused = jnp.concatenate([output, fused], axis=-1)
        return fused
