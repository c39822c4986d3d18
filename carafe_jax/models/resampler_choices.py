"""Resamplers by the choices of run configurations, and their names in tables."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

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
    gaussian_kernel_bias,
)
from carafe_jax.ops import Scale
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
InitialKernels = Literal["box", "gaussian"]
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
_COMPRESSES = ("spatial_attention", "gum")
_TITLES = {
    "carafe": "CARAFE++",
    "dpp": "DPP",
    "gum": "GUM",
    "lip": "LIP",
    "lip_bottleneck": "LIP bottlenecks",
}


def upsampler_factory(
    choice: Upsampler,
    *,
    compressed_channels: int,
    initial_kernels: InitialKernels = "box",
) -> Callable[..., nn.Module]:
    """Return the factory of an up-sampler that doubles a map.

    Args:
      choice: Name of the up-sampler.
      compressed_channels: Input channels of the content encoder, where there is one.
      initial_kernels: Initial kernels of CARAFE++, as for `carafe_fields`.
    """
    layer = UPSAMPLERS[choice]
    if choice == "carafe":
        fields = carafe_fields(
            scale=2,
            compressed_channels=compressed_channels,
            initial_kernels=initial_kernels,
        )
        return functools.partial(layer, **fields)
    if choice in _COMPRESSES:
        return functools.partial(layer, compressed_channels=compressed_channels)
    return layer


def carafe_fields(
    *, scale: Scale, compressed_channels: int, initial_kernels: InitialKernels
) -> dict[str, Any]:
    """Return the fields of a CARAFE++ layer of this scale.

    Args:
      scale: Scale of the layer.
      compressed_channels: Input channels of its content encoder.
      initial_kernels: "box", as in the paper's code; or "gaussian" around each output
        pixel, so that up-sampling starts as interpolation.
    """
    fields: dict[str, Any] = {"compressed_channels": compressed_channels}
    if initial_kernels == "gaussian":
        fields["encoder_bias_init"] = gaussian_kernel_bias(scale=scale)
    return fields


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
