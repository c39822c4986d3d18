"""ResNets by the choices of run configurations: a depth and a down-sampler."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

from flax import linen as nn

from carafe_jax.errors import RefusedError
from carafe_jax.models.backbones.lip_resnet import LIPBlock
from carafe_jax.models.backbones.resnet import (
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
)
from carafe_jax.models.backbones.resnet_stems import DeepStem, Stem
from carafe_jax.models.resampler_choices import InitialKernels, carafe_fields
from carafe_jax.nn import (
    AveragePoolDownsample,
    BatchNorm,
    CARAFEDownsample,
    DPPDownsample,
    LIPDownsample,
    MaxPoolDownsample,
)
from carafe_jax.nn.factories import LayerFactory

Depth = Literal[18, 34, 50, 101, 152]
Downsampler = Literal[
    "conv", "max", "average", "dpp", "lip", "lip_bottleneck", "carafe"
]
StemChoice = Literal["plain", "deep"]
Normalizer = Literal["softmax", "sigmoid", "normalized_sigmoid"]

RESNETS: dict[Depth, Callable[..., nn.Module]] = {
    18: ResNet18,
    34: ResNet34,
    50: ResNet50,
    101: ResNet101,
    152: ResNet152,
}
DOWNSAMPLERS: dict[Downsampler, Callable[..., nn.Module] | None] = {
    "conv": None,
    "max": MaxPoolDownsample,
    "average": AveragePoolDownsample,
    "dpp": DPPDownsample,
    "lip": LIPDownsample,
    "lip_bottleneck": LIPDownsample,
    "carafe": CARAFEDownsample,
}
STEMS: dict[StemChoice, type[Stem] | type[DeepStem]] = {
    "plain": Stem,
    "deep": DeepStem,
}


def make_resnet(
    depth: Depth,
    downsampler: Downsampler,
    *,
    compressed_channels: int,
    stem: StemChoice = "plain",
    initial_kernels: InitialKernels = "box",
    normalizer: Normalizer = "softmax",
    norm: LayerFactory = BatchNorm,
    **fields: Any,
) -> nn.Module:
    """Return a ResNet with a down-sampler in its seven places.

    Args:
      depth: Number of layers.
      downsampler: Name of the down-sampler.
      compressed_channels: Input channels of the content encoders of CARAFE++.
      stem: Name of the stem.
      initial_kernels: Initial kernels of CARAFE++, as for `carafe_fields`.
      normalizer: Normalizer of the kernels of CARAFE++.
      norm: Factory of the norms, also of those in CARAFE++.
      **fields: Further fields of `ResNet`.
    """
    downsample = DOWNSAMPLERS[downsampler]
    if downsampler == "carafe":
        fields_of_carafe = carafe_fields(
            scale="1/2",
            compressed_channels=compressed_channels,
            initial_kernels=initial_kernels,
        )
        downsample = functools.partial(
            CARAFEDownsample, normalizer=normalizer, norm=norm, **fields_of_carafe
        )
    if downsampler == "lip_bottleneck":
        fields = {"block": LIPBlock, **fields}
    return RESNETS[depth](downsample=downsample, stem=STEMS[stem], norm=norm, **fields)


def stem_of(variables: Mapping[str, Any]) -> StemChoice | None:
    """Return the stem of the ResNet that is a network's backbone; None without one."""
    stem = variables.get("params", {}).get("backbone", {}).get("stem")
    if stem is None:
        return None
    return "deep" if "conv3" in stem else "plain"


def check_bottlenecks(name: str, value: str, *, depth: Depth) -> None:
    """Raise unless the ResNet has bottleneck blocks, which a choice needs.

    Args:
      name: Name of the argument that chooses.
      value: Its value.
      depth: Number of layers.

    Raises:
      RefusedError: The ResNet has basic blocks.
    """
    if depth < 50:
        raise RefusedError(
            f"`depth` must be at least 50 with the `{name}` {value!r}, got {depth}: a "
            "smaller ResNet has no bottleneck blocks."
        )
