"""Configuration of segmentation networks."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

from flax import linen as nn

from carafe_jax.arguments import (
    check,
    check_below_1,
    check_choices,
    check_ints,
    check_window,
)
from carafe_jax.models.backbones.choices import (
    Depth,
    Downsampler,
    StemChoice,
    check_bottlenecks,
    make_resnet,
)
from carafe_jax.models.resampler_choices import (
    InitialKernels,
    Upsampler,
    name_with_resamplers,
    upsampler_factory,
)
from carafe_jax.models.segmentation.network import SegmentationNetwork
from carafe_jax.models.segmentation.psanet import PSANet
from carafe_jax.models.segmentation.pspnet import PSPNet
from carafe_jax.models.segmentation.unet import SegmentationUNet, UNetBackbone
from carafe_jax.models.segmentation.upernet import UperNet
from carafe_jax.models.unet import Resampler, unet_name, unet_resamplers
from carafe_jax.nn import BatchNorm, BilinearUpsample
from carafe_jax.nn._arguments import check_int

FuseUpsampler = Literal[Upsampler, "sequential_bilinear"]

_TITLES = {"upernet": "UperNet", "pspnet": "PSPNet", "psanet": "PSANet"}
_PLACES = {"PPM": "ppm_upsampler", "FPN": "fpn_upsampler", "FUSE": "fuse_upsampler"}
_PLAIN = {"backbone": "conv", **dict.fromkeys(_PLACES, "bilinear")}
_SIZES = ("width", "features", "pooled_features", "auxiliary_features")
_ON_RESNETS = ("upernet", "pspnet", "psanet")
# Fields without an effect on some architectures, by those that they belong to.
_OWNERS = {
    "depth": _ON_RESNETS,
    "width": _ON_RESNETS,
    "stem": _ON_RESNETS,
    "downsampler": _ON_RESNETS,
    "features": _ON_RESNETS,
    "norm_momentum": _ON_RESNETS,
    "rematerialize": _ON_RESNETS,
    "resampler": ("unet",),
    "stage_features": ("unet",),
    "ppm_upsampler": ("upernet", "pspnet"),
    "fpn_upsampler": ("upernet",),
    "fuse_upsampler": ("upernet",),
    "pooled_features": ("upernet", "pspnet"),
    "attention_window": ("psanet",),
    "auxiliary_features": ("pspnet", "psanet"),
    "dropout": ("pspnet", "psanet"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """Parts and sizes of a `UperNet`, `PSPNet` or `PSANet` on a ResNet, or a U-Net."""

    architecture: Literal["upernet", "pspnet", "psanet", "unet"] = "upernet"
    """Network: UperNet, with logits at a stride of 4; or PSPNet or PSANet, on a dilated
    backbone, at a stride of 8; or the U-Net of inpainting, at full size."""
    depth: Depth = 50
    """Number of layers of the ResNet."""
    width: int = 64
    """Channels of the stem; each stage has twice as many as the one before."""
    stem: StemChoice = "deep"
    """Stem of the ResNet. "deep": three 3x3 convolutions, as in the published networks;
    "plain": one of 7x7, as in the weights of torchvision."""
    downsampler: Downsampler = "conv"
    """Down-sampler in the seven places of the paper's section 4.1. "conv": strided
    convolutions, and max pooling in the stem; "carafe" is the backbone of table IX."""
    ppm_upsampler: Upsampler = "carafe"
    """Up-sampler in the pyramid pooling. "bilinear": to the map's size, at once."""
    fpn_upsampler: Upsampler = "carafe"
    """Up-sampler in the feature pyramid. "bilinear": to the lateral's size."""
    fuse_upsampler: FuseUpsampler = "carafe"
    """Up-sampler in the fusion of the levels. "bilinear": all to the finest level's
    size at once; "sequential_bilinear": level by level, as the others."""
    features: int = 512
    """Channels of the decoder."""
    pooled_features: int = 512
    """Channels of each scale of the pyramid pooling."""
    attention_window: tuple[int, int] = (59, 59)
    """Rows and columns of PSANet's attention, both odd. With images of up to 16 k
    pixels, 2 k - 1 covers all pairs of positions: 59 for 480."""
    auxiliary_features: int = 256
    """Channels of the auxiliary head of PSPNet and PSANet."""
    dropout: float = 0.1
    """Probability with which the heads of PSPNet and PSANet drop a channel."""
    resampler: Resampler = "carafe"
    """Layers of the U-Net that change the size. "carafe": CARAFE++ in both directions.
    "conv": strided convolutions down, nearest neighbour up."""
    stage_features: tuple[int, ...] = (16, 32, 64, 96)
    """Channels of the U-Net at full size and after each halving."""
    compressed_channels: tuple[int, int] = (16, 64)
    """Input channels of the content encoders of CARAFE++ (C_m of the paper), down and
    up."""
    initial_kernels: InitialKernels = "box"
    """Initial kernels of CARAFE++: "box", as in the paper's code; or "gaussian" around
    each output pixel, so that up-sampling starts as interpolation."""
    norm_momentum: float = 0.9
    """Decay of the running statistics of the batch norms. Below 1 - 1 / steps, or they
    keep their initial values."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Dtype of the features; parameters and logits are float32."""
    rematerialize: Literal["nothing", "blocks"] = "nothing"
    """Activations to recompute in the backward pass: "blocks" stores only the inputs of
    the backbone's blocks, to save memory."""

    def __post_init__(self) -> None:
        check_choices(self)
        for name in _SIZES:
            check_int(name, getattr(self, name))
        check_ints("stage_features", self.stage_features)
        check_ints("compressed_channels", self.compressed_channels, length=2)
        check_window("attention_window", self.attention_window)
        check_below_1("dropout", self.dropout)
        check_below_1("norm_momentum", self.norm_momentum)
        self._check_effects()
        if self.downsampler == "lip_bottleneck":
            check_bottlenecks("downsampler", self.downsampler, depth=self.depth)
            rule = "be another than 'lip_bottleneck' on a dilated backbone"
            holds = self.architecture == "upernet"
            check("downsampler", self.downsampler, rule, holds=holds)

    def _check_effects(self) -> None:
        for field in dataclasses.fields(self):
            owners = _OWNERS.get(field.name, (self.architecture,))
            value = getattr(self, field.name)
            rule = f"keep its default, {field.default!r}, with {self.architecture!r}"
            holds = self.architecture in owners or value == field.default
            check(field.name, value, rule, holds=holds)

    @property
    def name(self) -> str:
        """Name of the network in tables, with the resamplers that are not plain."""
        if self.architecture == "unet":
            return unet_name(self.resampler)
        chosen = {"backbone": self.downsampler}
        for place, field in _PLACES.items():
            if self.architecture in _OWNERS[field]:
                chosen[place] = getattr(self, field)
        title = f"{_TITLES[self.architecture]} R{self.depth}"
        return name_with_resamplers(title, chosen, plain=_PLAIN)

    @property
    def align_corners(self) -> bool:
        """Whether logits are resized with aligned corners, as in semseg's networks."""
        return self.architecture in ("pspnet", "psanet")

    @property
    def on_resnet(self) -> bool:
        """Whether the backbone is a ResNet."""
        return self.architecture in _ON_RESNETS

    def make(self, classes: int) -> SegmentationNetwork:
        """Return the network.

        Args:
          classes: Number of classes.
        """
        if self.architecture == "unet":
            return SegmentationUNet(self._unet_backbone(), classes)
        norm = functools.partial(BatchNorm, momentum=self.norm_momentum)
        fields: dict[str, Any] = {
            "backbone": self._backbone(norm),
            "classes": classes,
            "features": self.features,
            "norm": norm,
        }
        if self.architecture == "upernet":
            return UperNet(
                pooled_features=self.pooled_features,
                ppm_upsample=self._upsample(self.ppm_upsampler),
                fpn_upsample=self._upsample(self.fpn_upsampler),
                fuse_upsample=self._upsample(self.fuse_upsampler),
                **fields,
            )
        fields["auxiliary_features"] = self.auxiliary_features
        fields["dropout"] = self.dropout
        if self.architecture == "pspnet":
            upsample = self._upsample(self.ppm_upsampler)
            return PSPNet(
                pooled_features=self.pooled_features, upsample=upsample, **fields
            )
        return PSANet(window=self.attention_window, **fields)

    def _unet_backbone(self) -> UNetBackbone:
        return UNetBackbone(
            stage_features=self.stage_features,
            dtype=self.dtype,
            **unet_resamplers(
                self.resampler,
                compressed_channels=self.compressed_channels,
                initial_kernels=self.initial_kernels,
            ),
        )

    def _backbone(self, norm: Callable[..., nn.Module]) -> nn.Module:
        return make_resnet(
            self.depth,
            self.downsampler,
            compressed_channels=self.compressed_channels[0],
            initial_kernels=self.initial_kernels,
            norm=norm,
            width=self.width,
            stem=self.stem,
            output_stride=32 if self.architecture == "upernet" else 8,
            rematerialize=self.rematerialize,
            dtype=self.dtype,
        )

    def _upsample(self, choice: FuseUpsampler) -> Callable[..., nn.Module] | None:
        """Return the factory of an up-sampler; None is bilinear, to a map's size."""
        if choice == "bilinear":
            return None
        if choice == "sequential_bilinear":
            return BilinearUpsample
        return upsampler_factory(
            choice,
            compressed_channels=self.compressed_channels[1],
            initial_kernels=self.initial_kernels,
        )
