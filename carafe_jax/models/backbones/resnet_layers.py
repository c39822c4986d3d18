"""Layer factories that the stems and blocks of a ResNet share."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, DTypeLike

from carafe_jax.errors import RefusedError
from carafe_jax.models.resampling import resample
from carafe_jax.nn.factories import LayerFactory, make_norm


class Layers(NamedTuple):
    """Layer factories of a block, with the dtypes bound."""

    conv: LayerFactory
    norm: LayerFactory
    last_norm: LayerFactory
    downsample: LayerFactory | None
    param_dtype: DTypeLike = jnp.float32
    spatial_conv: LayerFactory | None = None
    """Factory of the 3x3 convolution of bottlenecks; None: `conv`."""


def downsample(
    layers: Layers, factory: LayerFactory, x: Array, name: str, *, train: bool
) -> Array:
    """Return a map halved by one of a network's down-samplers."""
    return resample(
        "downsample",
        factory,
        x,
        train,
        name=name,
        dtype=x.dtype,
        param_dtype=layers.param_dtype,
    )


def norms(norm: LayerFactory, *, train: bool) -> LayerFactory:
    """Return a factory of norms for a call with this `train`."""
    return functools.partial(make_norm, norm, train=train)


def refuse_spatial_conv(block: str, layers: Layers) -> None:
    """Raise if a block that has no use for `spatial_conv` is given one."""
    if layers.spatial_conv is not None:
        raise RefusedError(
            "`spatial_conv` replaces the 3x3 convolution of `Bottleneck`: it must be "
            f"None in every stage of a network of {block}."
        )
