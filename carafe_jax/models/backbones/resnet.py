"""ResNet with its down-sampler as an argument (arXiv:2012.04733, section 4.1)."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check, check_ints
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.backbones.resnet_blocks import BasicBlock, Bottleneck
from carafe_jax.models.backbones.resnet_layers import Layers
from carafe_jax.models.backbones.resnet_stems import DeepStem, Stem
from carafe_jax.nn.batch_norm import BatchNorm
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import Dtypes, dtypes_of
from carafe_jax.nn.factories import LayerFactory, bind, check_factory, takes
from carafe_jax.nn.resamplers.pooling import MaxPoolDownsample

# As in torchvision, and in He et al. 2015 for ReLU networks.
_conv_init = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_CHOICES = {
    "conv_after_downsample": ("plain", "spatial"),
    "stem_reassembly": ("frozen", "trained"),
    "rematerialize": ("nothing", "blocks"),
}


class Stages(NamedTuple):
    """Feature maps of a backbone, at 1/4, 1/8, 1/16 and 1/32 of the image's size.

    With an `output_stride` of 8, the last three are at 1/8; with 16, the last two at
    1/16.
    """

    c2: Float[Array, "n h2 w2 f2"]
    c3: Float[Array, "n h3 w3 f3"]
    c4: Float[Array, "n h4 w4 f4"]
    c5: Float[Array, "n h5 w5 f5"]


# Our own errors for wrong fields and images are clearer.
@no_type_check
class ResNet(nn.Module):
    """The convolutional part of a ResNet, as the backbone of other networks.

    A down-sampler is used in seven places (arXiv:2012.04733, section 4.1): it replaces
    the stem's max pooling, and precedes the 3x3 convolution and the shortcut's
    convolution in the first block of Res-3, Res-4 and Res-5. Padding is symmetric, so
    that a map of any size is halved to ceil(H / 2).

    Example:
      >>> import functools, jax, jax.numpy as jnp
      >>> from carafe_jax.models import ResNet18
      >>> from carafe_jax.nn import BatchNorm, CARAFEDownsample
      >>> downsample = functools.partial(CARAFEDownsample, norm=BatchNorm)
      >>> backbone = ResNet18(downsample=downsample)
      >>> image = jnp.zeros((1, 64, 50, 3))
      >>> variables = jax.eval_shape(backbone.init, jax.random.key(0), image)
      >>> jax.eval_shape(backbone.apply, variables, image).c5.shape
      (1, 2, 2, 512)

    Attributes:
      stage_sizes: Number of blocks of Res-2 to Res-5.
      block: Factory of the blocks: `BasicBlock`, `Bottleneck`, or `LIPBlock` of
        `carafe_jax.models`.
      width: Channels of the stem, and inside the blocks of Res-2; each stage has twice
        as many as the one before (default: 64).
      stem: Stem, `Stem` or `DeepStem` (default: `Stem`).
      downsample: Factory of the down-samplers: `CARAFEDownsample`, in the paper with
        `norm=BatchNorm`, any other down-sampler of `carafe_jax.nn`, a
        `functools.partial` of one, or another factory (`carafe_jax.nn.factories`). None
        is the original: strided convolutions, and max pooling in the stem (default:
        None).
      spatial_conv: For each of Res-2 to Res-5, the factory of the 3x3 convolutions of
        `Bottleneck`, called with the arguments of `nn.Conv`. None: `nn.Conv`. The
        paper's DCNv2 backbones are `(None, DeformableConv, DeformableConv,
        DeformableConv)` as in mmdetection; the paper's text counts the stages from one
        earlier (default: None in each stage).
      conv_after_downsample: 3x3 convolution that follows a down-sampler. "plain":
        `nn.Conv`, as section 5.1 describes for deformable convolutions; "spatial": that
        of `spatial_conv`, without stride (default: "plain").
      output_stride: Pixels of the image per pixel of c5 along each side: 32, 16 or 8.
        Below 32, the last one or two stages keep the size of their maps, without
        down-samplers, and their 3x3 convolutions are dilated by 2 and 4 instead
        (default: 32).
      contract_dilation: Whether the convolution that lost its stride has half the
        dilation of its stage, as in CSAIL's networks; otherwise it has the same, as in
        semseg's (default: False).
      frozen_stages: Last frozen stage, as in mmdetection: -1 freezes nothing, 0 the
        stem, 1 also Res-2, and so on, up to 4, also Res-5. Frozen parameters have no
        gradient, and frozen norms never use the statistics of the batch. Weight decay
        acts without a gradient: pass `frozen_patterns` to the optimiser (default: -1).
      stem_reassembly: Whether the stem's down-sampler is "frozen" with the stem. If it
        is "trained", the backward pass goes through the frozen stages after it
        (default: "frozen").
      norm: Factory of the norms: `BatchNorm`, a norm of flax such as `nn.GroupNorm`, a
        `functools.partial` of one, or another factory (default: `BatchNorm`).
      last_scale_init: Initializer of the scale of the last norm of each block. With
        zeros, blocks start as their shortcuts (Goyal et al. 2017) (default: zeros).
      rematerialize: "blocks" stores only the input of each block for the backward pass
        and recomputes the rest: less memory, a third more work (default: "nothing").
      dtype: Dtype of the computation (default: that of the image).
      param_dtype: Dtype of the parameters (default: float32).
    """

    stage_sizes: Sequence[int]
    block: LayerFactory
    width: int = 64
    stem: type[Stem] | type[DeepStem] = Stem
    downsample: LayerFactory | None = None
    spatial_conv: Sequence[LayerFactory | None] = (None, None, None, None)
    conv_after_downsample: Literal["plain", "spatial"] = "plain"
    output_stride: Literal[8, 16, 32] = 32
    contract_dilation: bool = False
    frozen_stages: int = -1
    stem_reassembly: Literal["frozen", "trained"] = "frozen"
    norm: LayerFactory = BatchNorm
    last_scale_init: Callable[..., Array] = nn.initializers.zeros
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "n h w c"], train: bool = False) -> Stages:
        """Return the feature maps of an image.

        Args:
          image: Floating image, normalised as the weights require.
          train: Whether norms use the statistics of this batch.

        Raises:
          RefusedError: The image is not of rank 4 or not floating, or a field is
            invalid.
        """
        image = jnp.asarray(image)
        _check_fields(self)
        _check_image(image)
        dtypes = dtypes_of(self, image)
        stem, frozen = self._stem(dtypes), self.frozen_stages >= 0
        x = stem(image.astype(dtypes["dtype"]), False if frozen else train)
        if frozen and self.stem_reassembly == "frozen":
            x = jax.lax.stop_gradient(x)
        maps: list[Array] = []
        for stage in range(4):
            x = self._stage(x, stage, dtypes, train=train)
            maps.append(x)
        return Stages(*maps)

    @property
    def frozen_patterns(self) -> tuple[str, ...]:
        """Regular expressions for the paths of frozen parameters.

        They match in "res2_0/conv1/kernel" and "backbone/res2_0/conv1/kernel", as
        `carafe_jax.train.ParameterGroups` searches.
        """
        if self.frozen_stages < 0:
            return ()
        layers = r"(conv|norm)\d" if self.stem_reassembly == "trained" else r"\w+"
        stages = (rf"(^|/)res{2 + stage}_\d+/" for stage in range(self.frozen_stages))
        return (rf"(^|/)stem/{layers}/", *stages)

    def _stem(self, dtypes: Dtypes) -> Stem | DeepStem:
        return self.stem(
            features=self.width,
            layers=self._layers(dtypes),
            pool=MaxPoolDownsample if self.downsample is None else self.downsample,
            frozen=self.frozen_stages >= 0,
            name="stem",
        )

    def _stage(self, x: Array, stage: int, dtypes: Dtypes, *, train: bool) -> Array:
        """Apply Res-2 (`stage` 0), Res-3, Res-4 or Res-5."""
        frozen, block = stage < self.frozen_stages, self.block
        passes_through = frozen and self.stem_reassembly == "trained"
        if passes_through:
            block = _with_constant_parameters(block, init=self.is_initializing())
        if self.rematerialize == "blocks":
            block = nn.remat(block, static_argnums=(2,))
        dilation = max(1, 4 * 2**stage // self.output_stride)
        for index in range(self.stage_sizes[stage]):
            stride = 2 if stage > 0 and index == 0 and dilation == 1 else 1
            layers = self._layers(dtypes, self._spatial_conv(stage, stride))
            x = block(
                features=self.width * 2**stage,
                stride=stride,
                layers=layers,
                name=f"res{stage + 2}_{index}",
                **self._dilations(dilation, index),
            )(x, False if frozen else train)
        return jax.lax.stop_gradient(x) if frozen and not passes_through else x

    def _dilations(self, dilation: int, index: int) -> dict[str, tuple[int, int]]:
        """Return the dilations of a block, if it has any."""
        if dilation == 1:
            return {}
        contracts = self.contract_dilation and index == 0
        return {"dilations": (dilation // 2 if contracts else dilation, dilation)}

    def _spatial_conv(self, stage: int, stride: int) -> LayerFactory | None:
        """Return the factory of a block's 3x3 convolution; None: `nn.Conv`."""
        follows = stride == 2 and self.downsample is not None
        if follows and self.conv_after_downsample == "plain":
            return None
        return self.spatial_conv[stage]

    def _layers(
        self, dtypes: Dtypes, spatial_conv: LayerFactory | None = None
    ) -> Layers:
        fields: dict[str, Any] = {"use_bias": False, "kernel_init": _conv_init}
        conv = functools.partial(Conv, **fields, **dtypes)
        if spatial_conv is not None:
            spatial_conv = bind("spatial_conv", spatial_conv, **fields, **dtypes)
        norm = bind("norm", self.norm, **dtypes)
        starts = {"scale_init": self.last_scale_init}
        last = bind("norm", norm, required=starts)
        return Layers(
            conv, norm, last, self.downsample, dtypes["param_dtype"], spatial_conv
        )


ResNet18 = functools.partial(ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock)
ResNet34 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), block=BasicBlock)
ResNet50 = functools.partial(ResNet, stage_sizes=(3, 4, 6, 3), block=Bottleneck)
ResNet101 = functools.partial(ResNet, stage_sizes=(3, 4, 23, 3), block=Bottleneck)
ResNet152 = functools.partial(ResNet, stage_sizes=(3, 8, 36, 3), block=Bottleneck)


def _with_constant_parameters(block: LayerFactory, *, init: bool) -> LayerFactory:
    """Return a block whose parameters have no gradient, unlike its input."""
    return nn.map_variables(block, "params", jax.lax.stop_gradient, init=init)


def _check_fields(network: ResNet) -> None:
    check_factory("block", network.block)
    check_factory("stem", network.stem)
    if network.downsample is not None:
        check_factory("downsample", network.downsample)
    check_ints("stage_sizes", network.stage_sizes, length=4)
    if network.width < 1:
        raise RefusedError(f"`width` must be positive, got {network.width}.")
    for name, choices in _CHOICES.items():
        value = getattr(network, name)
        rule = f"be {' or '.join(map(repr, choices))}"
        check(name, value, rule, holds=value in choices)
    stride, rule = network.output_stride, "be 32, 16 or 8"
    check("output_stride", stride, rule, holds=stride in (32, 16, 8))
    rule = "make blocks that have `dilations`, such as Bottleneck, below a stride of 32"
    holds = stride == 32 or takes(network.block, "dilations")
    check("block", network.block, rule, holds=holds)
    stages, rule = network.frozen_stages, "be an int from -1 to 4"
    check("frozen_stages", stages, rule, holds=stages in range(-1, 5))
    convs, rule = network.spatial_conv, "have four items, of Res-2 to Res-5"
    holds = isinstance(convs, Sequence) and len(convs) == 4
    check("spatial_conv", convs, rule, holds=holds)
    for factory in convs:
        if factory is not None:
            check_factory("spatial_conv", factory)


def _check_image(image: Array) -> None:
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise RefusedError(
            "`image` must be floating and of rank 4, (N, H, W, C), "
            f"got {image.dtype} of shape {image.shape}."
        )
    if 0 in image.shape[1:]:
        raise RefusedError(
            f"`image` must have at least one pixel and channel, got {image.shape}."
        )
