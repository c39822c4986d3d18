"""The inpainting U-Net with each family of resamplers."""

import dataclasses
import functools
from typing import Literal

from carafe_jax.errors import RefusedError
from carafe_jax.models import CARAFEConv, UNet
from carafe_jax.nn import (
    CARAFEDownsample,
    CARAFEUpsample,
    NearestUpsample,
    StridedConvDownsample,
)

Resampler = Literal["carafe", "conv"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Size and resamplers of the U-Net."""

    resampler: Resampler = "carafe"
    """"carafe": CARAFE++ down and up. "conv": strided convolution down, nearest
    neighbour up."""
    stage_features: tuple[int, ...] = (16, 32, 64, 96)
    """Channels at full size and after each halving."""
    compressed_channels: int = 16
    """Channels of the content encoders of CARAFE++ (C_m of the paper)."""

    def __post_init__(self) -> None:
        if not self.stage_features or min(self.stage_features) < 1:
            raise RefusedError(
                "`stage_features` must be one or more positive numbers, "
                f"got {self.stage_features}."
            )

    @property
    def name(self) -> str:
        """What the network is called in tables."""
        return "U-Net, CARAFE++" if self.resampler == "carafe" else "U-Net"

    def make(self) -> UNet:
        """Make the network."""
        return _RESAMPLERS[self.resampler](self)


def _carafe(model: Model) -> UNet:
    compressed = {"compressed_channels": model.compressed_channels}
    reassembly = functools.partial(CARAFEDownsample, **compressed)
    return UNet(
        stage_features=model.stage_features,
        downsample=functools.partial(CARAFEConv, reassembly=reassembly),
        upsample=functools.partial(CARAFEUpsample, **compressed),
    )


def _conv(model: Model) -> UNet:
    return UNet(
        stage_features=model.stage_features,
        downsample=StridedConvDownsample,
        upsample=NearestUpsample,
    )


_RESAMPLERS = {"carafe": _carafe, "conv": _conv}
