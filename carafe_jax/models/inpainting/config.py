"""Configurations of inpainting networks."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

from flax import linen as nn

from carafe_jax.arguments import check_choices, check_count, check_ints
from carafe_jax.errors import RefusedError
from carafe_jax.models.conv_blocks import (
    CARAFEConv,
    ConvBlock,
    DeconvBlock,
)
from carafe_jax.models.inpainting.global_local import GlobalLocal, PartialGlobalLocal
from carafe_jax.models.inpainting.output import StartingFill
from carafe_jax.models.inpainting.patch_gan import PatchGAN
from carafe_jax.models.inpainting.spline_fill import spline_fill
from carafe_jax.models.inpainting.unet import UNet
from carafe_jax.models.resampler_choices import InitialKernels
from carafe_jax.models.unet import Resampler, unet_name, unet_resamplers
from carafe_jax.nn import (
    BatchNorm,
    CARAFEDownsample,
    CARAFEUpsample,
    PartialCARAFE,
    PartialConvBlock,
    PartialNearestUpsample,
    PartialResampleConv,
)

StartingFillName = Literal["none", "spline"]
_STARTING_FILLS: dict[StartingFillName, StartingFill | None] = {
    "none": None,
    "spline": spline_fill,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Size and resamplers of a `UNet`."""

    resampler: Resampler = "carafe"
    """Layers that change the size. "carafe": CARAFE++ in both directions. "conv":
    strided convolutions down, nearest neighbour up."""
    stage_features: tuple[int, ...] = (16, 32, 64, 96)
    """Channels at full size and after each halving."""
    compressed_channels: int = 16
    """Input channels of the content encoders of CARAFE++ (C_m of the paper). Ignored
    with `resampler="conv"`."""
    initial_kernels: InitialKernels = "box"
    """Initial kernels of CARAFE++: "box", as in the paper's code, or "gaussian" around
    each output pixel, so that up-sampling starts as interpolation. Ignored with
    `resampler="conv"`."""
    starting_fill: StartingFillName = "none"
    """Initial fill of the hole; the network predicts a residual on it. "spline" is
    `spline_fill`, "none" the mean colour of the given pixels."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_ints("stage_features", self.stage_features)
        check_count("compressed_channels", self.compressed_channels)

    @property
    def name(self) -> str:
        """The name of the network in tables."""
        return unet_name(self.resampler)

    def make(self) -> UNet:
        """Return the network."""
        channels = self.compressed_channels
        return UNet(
            stage_features=self.stage_features,
            starting_fill=_STARTING_FILLS[self.starting_fill],
            **unet_resamplers(
                self.resampler,
                compressed_channels=(channels, channels),
                initial_kernels=self.initial_kernels,
            ),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GlobalLocalConfig:
    """Layers and size of a `GlobalLocal` (section 5.1)."""

    convolution: Literal["plain", "partial"] = "plain"
    """Type of the convolutions: "plain" for Global&Local, "partial" to use partial
    convolutions throughout."""
    resampler: Resampler = "carafe"
    """Layers that change the size. "carafe": CARAFE++ in both directions, each followed
    by a convolution without stride. "conv": strided convolutions down; up, transposed
    convolutions, or nearest neighbour and a convolution if partial."""
    width: int = 64
    """Channels at full size, even; four times as many at a quarter of it."""
    norm: Literal["batch", "none"] = "batch"
    """Norm after every convolution but the last."""
    compressed_channels: tuple[int, int] = (16, 64)
    """Input channels of the content encoders of CARAFE++, down and up (section 5.1)."""
    starting_fill: StartingFillName = "none"
    """Initial fill of the hole; the network predicts a residual on it. "spline" is
    `spline_fill`; "none", as published, is required with partial convolutions, which
    ignore values in holes."""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.convolution == "partial" and self.starting_fill != "none":
            raise RefusedError(
                "`starting_fill` must be 'none' with partial convolutions, got "
                f"{self.starting_fill!r}."
            )
        check_ints("compressed_channels", self.compressed_channels, length=2)

    @property
    def name(self) -> str:
        """The name of the network in tables, as in table X."""
        name = {"plain": "Global&Local", "partial": "Partial Conv"}[self.convolution]
        return name + (", CARAFE++" if self.resampler == "carafe" else "")

    def make(self) -> GlobalLocal:
        """Return the network."""
        return _GENERATORS[self.convolution, self.resampler](
            self,
            width=self.width,
            norm=BatchNorm if self.norm == "batch" else None,
            starting_fill=_STARTING_FILLS[self.starting_fill],
        )

    @property
    def reassemblies(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Factories of the CARAFE++ layers: a down-sampler and an up-sampler."""
        down, up = self.compressed_channels
        return (
            functools.partial(CARAFEDownsample, compressed_channels=down),
            functools.partial(CARAFEUpsample, compressed_channels=up),
        )


def _plain_conv(config: GlobalLocalConfig, **fields: Any) -> GlobalLocal:
    del config  # Its values are all in `fields`.
    return GlobalLocal(
        downsample=functools.partial(ConvBlock, stride=2),
        upsample=DeconvBlock,
        **fields,
    )


def _plain_carafe(config: GlobalLocalConfig, **fields: Any) -> GlobalLocal:
    down, up = config.reassemblies
    return GlobalLocal(
        downsample=functools.partial(CARAFEConv, reassembly=down),
        upsample=functools.partial(CARAFEConv, reassembly=up),
        **fields,
    )


def _partial_conv(config: GlobalLocalConfig, **fields: Any) -> GlobalLocal:
    del config
    return PartialGlobalLocal(
        downsample=functools.partial(PartialConvBlock, stride=2),
        upsample=functools.partial(
            PartialResampleConv, resample=PartialNearestUpsample
        ),
        **fields,
    )


def _partial_carafe(config: GlobalLocalConfig, **fields: Any) -> GlobalLocal:
    down, up = (
        functools.partial(
            PartialResampleConv,
            resample=functools.partial(PartialCARAFE, reassembly=reassembly),
        )
        for reassembly in config.reassemblies
    )
    return PartialGlobalLocal(downsample=down, upsample=up, **fields)


_GENERATORS = {
    ("plain", "conv"): _plain_conv,
    ("plain", "carafe"): _plain_carafe,
    ("partial", "conv"): _partial_conv,
    ("partial", "carafe"): _partial_carafe,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchGANConfig:
    """Size of a `PatchGAN`; the defaults are those of DeepFillv2 (arXiv:1806.03589)."""

    features: tuple[int, ...] = (64, 128, 256, 256, 256, 256)
    """Channels of each convolution, which halves the map; the last are the logits."""
    kernel_size: int = 5
    """Kernel size of the convolutions."""
    weight_norm: Literal["spectral", "none"] = "spectral"
    """Weight normalisation of every convolution (Miyato et al. 2018)."""

    def __post_init__(self) -> None:
        check_choices(self)

    def make(self) -> PatchGAN:
        """Return the network."""
        return PatchGAN(
            features=self.features,
            strides=(2,) * len(self.features),
            kernel_size=self.kernel_size,
            logits=None,
            norm=None,
            weight_norm=nn.SpectralNorm if self.weight_norm == "spectral" else None,
        )
