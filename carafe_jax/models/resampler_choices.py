"""Up-samplers by the choices of run configurations, and their names in tables."""

import functools
from collections.abc import Callable, Mapping
from typing import Literal

from flax import linen as nn

from carafe_jax.nn import (
    BilinearConvUpsample,
    BilinearUpsample,
    CARAFEUpsample,
    DeconvUpsample,
    GUMUpsample,
    NearestConvUpsample,
    NearestUpsample,
    PixelShuffleUpsample,
    SpatialAttentionUpsample,
)
from carafe_jax.texts import listed

Upsampler = Literal[
    "nearest",
    "bilinear",
    "nearest_conv",
    "bilinear_conv",
    "deconv",
    "pixel_shuffle",
    "gum",
    "spatial_attention",
    "carafe",
]
UPSAMPLERS: dict[Upsampler, Callable[..., nn.Module]] = {
    "nearest": NearestUpsample,
    "bilinear": BilinearUpsample,
    "nearest_conv": NearestConvUpsample,
    "bilinear_conv": BilinearConvUpsample,
    "deconv": DeconvUpsample,
    "pixel_shuffle": PixelShuffleUpsample,
    "gum": GUMUpsample,
    "spatial_attention": SpatialAttentionUpsample,
    "carafe": CARAFEUpsample,
}
_COMPRESSES = ("carafe", "spatial_attention", "gum")
_TITLES = {
    "carafe": "CARAFE++",
    "dpp": "DPP",
    "gum": "GUM",
    "lip": "LIP",
    "lip_bottleneck": "LIP bottlenecks",
}


def upsampler_factory(
    choice: Upsampler, *, compressed_channels: int
) -> Callable[..., nn.Module]:
    """Return the factory of an up-sampler that doubles a map.

    Args:
      choice: Name of the up-sampler.
      compressed_channels: Input channels of the content encoder, where there is one.
    """
    layer = UPSAMPLERS[choice]
    if choice in _COMPRESSES:
        return functools.partial(layer, compressed_channels=compressed_channels)
    return layer


def name_with_resamplers(
    network: str, chosen: Mapping[str, str], *, plain: Mapping[str, str]
) -> str:
    """Return the name of a network, with the resamplers that are not plain.

    Args:
      network: Name of the network.
      chosen: Name of the resampler in each place.
      plain: Name of the resampler that each place has without a choice.
    """
    places: dict[str, list[str]] = {}
    for place, resampler in chosen.items():
        if resampler != plain[place]:
            title = _TITLES.get(resampler, resampler.replace("_", " "))
            places.setdefault(title, []).append(place)
    parts = (f"{title} in {listed(own)}" for title, own in places.items())
    return ", ".join([network, *parts])
