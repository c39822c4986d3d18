"""The networks of table X: Global&Local, plain and of partial convolutions."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.models import (
    CARAFEConv,
    ConvBlock,
    DeconvBlock,
    GlobalLocal,
    PartialGlobalLocal,
    PatchGAN,
)
from carafe_jax.nn import (
    BatchNorm,
    CARAFEDownsample,
    CARAFEUpsample,
    PartialCARAFE,
    PartialConvBlock,
    PartialNearestUpsample,
    PartialResampleConv,
)
from experiments.inpainting.network import Resampler


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generator:
    """The generator of Global&Local (section 5.1)."""

    convolution: Literal["plain", "partial"] = "plain"
    """"plain": Global&Local. "partial": partial convolutions take the place of all
    convolutions."""
    resampler: Resampler = "carafe"
    """"carafe": CARAFE++ down and up, each before a convolution without stride.
    "conv": strided convolutions down; up, deconvolutions or, of partial convolutions,
    nearest neighbours before a convolution."""
    width: int = 64
    """Channels at full size, even; four times as many at a quarter of it."""
    norm: Literal["batch", "none"] = "batch"
    """After every convolution but the last."""
    compressed_channels: tuple[int, int] = (16, 64)
    """Channels of the content encoders of CARAFE++, down and up (section 5.1)."""

    def __post_init__(self) -> None:
        if min(self.compressed_channels) < 1:
            raise RefusedError(
                "`compressed_channels` must be positive, "
                f"got {self.compressed_channels}."
            )

    @property
    def name(self) -> str:
        """What the network is called in tables: as in table X."""
        name = {"plain": "Global&Local", "partial": "Partial Conv"}[self.convolution]
        return name + (", CARAFE++" if self.resampler == "carafe" else "")

    def make(self) -> nn.Module:
        """Make the network."""
        return _GENERATORS[self.convolution, self.resampler](
            self,
            width=self.width,
            norm=BatchNorm if self.norm == "batch" else None,
        )

    @property
    def reassemblies(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Make the CARAFE++ layers that halve and that double a map."""
        down, up = self.compressed_channels
        return (
            functools.partial(CARAFEDownsample, compressed_channels=down),
            functools.partial(CARAFEUpsample, compressed_channels=up),
        )


def _plain_conv(generator: Generator, **fields: Any) -> GlobalLocal:
    del generator  # All that it says is in the fields.
    return GlobalLocal(
        downsample=functools.partial(ConvBlock, stride=2),
        upsample=DeconvBlock,
        **fields,
    )


def _plain_carafe(generator: Generator, **fields: Any) -> GlobalLocal:
    down, up = generator.reassemblies
    return GlobalLocal(
        downsample=functools.partial(CARAFEConv, reassembly=down),
        upsample=functools.partial(CARAFEConv, reassembly=up),
        **fields,
    )


def _partial_conv(generator: Generator, **fields: Any) -> GlobalLocal:
    del generator
    return PartialGlobalLocal(
        downsample=functools.partial(PartialConvBlock, stride=2),
        upsample=functools.partial(
            PartialResampleConv, resample=PartialNearestUpsample
        ),
        **fields,
    )


def _partial_carafe(generator: Generator, **fields: Any) -> GlobalLocal:
    down, up = (
        functools.partial(
            PartialResampleConv,
            resample=functools.partial(PartialCARAFE, reassembly=reassembly),
        )
        for reassembly in generator.reassemblies
    )
    return PartialGlobalLocal(downsample=down, upsample=up, **fields)


_GENERATORS = {
    ("plain", "conv"): _plain_conv,
    ("plain", "carafe"): _plain_carafe,
    ("partial", "conv"): _partial_conv,
    ("partial", "carafe"): _partial_carafe,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discriminator:
    """A PatchGAN; the defaults are those of DeepFillv2 (arXiv:1806.03589)."""

    features: tuple[int, ...] = (64, 128, 256, 256, 256, 256)
    """Channels of each convolution, which halves the map; the last one's are logits."""
    kernel_size: int = 5
    """Side of their windows."""
    weight_norm: Literal["spectral", "none"] = "spectral"
    """Of every convolution (Miyato et al. 2018)."""

    def make(self) -> PatchGAN:
        """Make the network."""
        return PatchGAN(
            features=self.features,
            strides=(2,) * len(self.features),
            kernel_size=self.kernel_size,
            logits=None,
            norm=None,
            weight_norm=nn.SpectralNorm if self.weight_norm == "spectral" else None,
        )
