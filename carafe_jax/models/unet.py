"""The encoder-decoder of U-Nets, with the resamplers as arguments."""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, TypedDict

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.arguments import check_ints
from carafe_jax.errors import no_type_check
from carafe_jax.models.conv_blocks import CARAFEConv, ResampleConv
from carafe_jax.models.resampler_choices import InitialKernels, carafe_fields
from carafe_jax.models.resampling import resample
from carafe_jax.nn import (
    CARAFEDownsample,
    CARAFEUpsample,
    NearestUpsample,
    StridedConvDownsample,
)
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.crop import crop
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory

Resampler = Literal["carafe", "conv"]

# The network applies the activation.
_resample_conv = functools.partial(ResampleConv, activation=None)


# Our own errors for wrong fields and maps are clearer.
@no_type_check
class EncoderDecoder(nn.Module):
    """Base of U-Nets: an encoder and a decoder with skips, for maps of any size.

    Each stage halves the map, to ceil(H / 2); the decoder doubles it and crops it to
    the size of the skip, so that no size needs padding. With CARAFE++, the default,
    strided convolutions become CARAFE++ followed by a convolution without stride, and
    up-sampling becomes CARAFE++ (arXiv:2012.04733, section 4.3). The bottleneck has
    dilated convolutions, as in Global&Local (Iizuka et al. 2017).

    Attributes:
      stage_features: Channels at full size and after each halving.
      middle_dilations: Dilation of each convolution at the smallest size
        (default: 1, 2, 4).
      downsample: Factory of the layers that halve a map and change its channels: any
        down-sampler of `carafe_jax.nn`, a `functools.partial` of one, or another
        factory (`carafe_jax.nn.factories`). Without a field `features` it becomes the
        resampler of a `ResampleConv`, which adds a convolution (default: `CARAFEConv`).
      upsample: Factory of the layers that double a map and keep its channels, likewise
        (default: `CARAFEUpsample`).
      activation: Activation after each convolution (default: ELU).
      dtype: Dtype of the computation (default: that of the map).
      param_dtype: Dtype of the parameters (default: float32).
    """

    stage_features: Sequence[int] = (32, 64, 128, 128)
    middle_dilations: Sequence[int] = (1, 2, 4)
    downsample: LayerFactory = CARAFEConv
    upsample: LayerFactory = CARAFEUpsample
    activation: Callable[[Array], Array] = nn.elu
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def encode_and_decode(
        self, x: Float[Array, "n h w c"], *, train: bool
    ) -> Float[Array, "n h w f"]:
        """Return features at full size; to be called in a compact method.

        Args:
          x: Map, or images.
          train: Passed to the resamplers.
        """
        check_ints("stage_features", self.stage_features)
        dtype = dtypes_of(self, x)["dtype"]
        x, skips = self._encode(x.astype(dtype), dtype, train=train)
        for index, dilation in enumerate(self.middle_dilations):
            features = self.stage_features[-1]
            x = self._conv(x, features, f"middle_{index}", dtype, dilation=dilation)
        return self._decode(x, skips, dtype, train=train)

    def _encode(
        self, x: Array, dtype: DTypeLike, *, train: bool
    ) -> tuple[Array, list[Array]]:
        x = self._conv(x, self.stage_features[0], "stem", dtype)
        skips: list[Array] = []
        for stage, features in enumerate(self.stage_features[1:], start=1):
            skips.append(x)
            halved = resample(
                "downsample",
                self.downsample,
                x,
                train,
                features=features,
                block=_resample_conv,
                dtype=dtype,
                param_dtype=self.param_dtype,
                name=f"down_{stage}",
            )
            x = self.activation(halved)
            x = self._conv(x, features, f"encoder_{stage}", dtype)
        return x, skips

    def _decode(
        self, x: Array, skips: list[Array], dtype: DTypeLike, *, train: bool
    ) -> Array:
        for stage, skip in reversed(list(enumerate(skips))):
            doubled = resample(
                "upsample",
                self.upsample,
                x,
                train,
                dtype=dtype,
                param_dtype=self.param_dtype,
                name=f"up_{stage}",
            )
            x = crop(doubled, size=skip.shape[1:3])
            x = jnp.concatenate([x, skip], axis=-1)
            features = self.stage_features[stage]
            x = self._conv(x, features, f"decoder_{stage}", dtype)
        return x

    def _conv(
        self,
        x: Array,
        features: int,
        name: str,
        dtype: DTypeLike,
        *,
        dilation: int = 1,
    ) -> Array:
        x = Conv(
            features,
            (3, 3),
            padding=((dilation, dilation), (dilation, dilation)),
            kernel_dilation=dilation,
            dtype=dtype,
            param_dtype=self.param_dtype,
            name=name,
        )(x)
        return self.activation(x)


class UNetResamplers(TypedDict):
    """Resamplers of an `EncoderDecoder`."""

    downsample: LayerFactory
    upsample: LayerFactory


def unet_resamplers(
    choice: Resampler,
    *,
    compressed_channels: tuple[int, int],
    initial_kernels: InitialKernels,
) -> UNetResamplers:
    """Return the resamplers of an `EncoderDecoder`.

    Args:
      choice: "carafe": CARAFE++ in both directions. "conv": strided convolutions down,
        nearest neighbour up.
      compressed_channels: Input channels of the content encoders of CARAFE++, down and
        up.
      initial_kernels: Initial kernels of CARAFE++, as for `carafe_fields`.
    """
    if choice == "conv":
        return UNetResamplers(
            downsample=StridedConvDownsample, upsample=NearestUpsample
        )
    down, up = (
        carafe_fields(
            scale=scale, compressed_channels=channels, initial_kernels=initial_kernels
        )
        for scale, channels in zip(("1/2", 2), compressed_channels, strict=True)
    )
    reassembly = functools.partial(CARAFEDownsample, **down)
    return UNetResamplers(
        downsample=functools.partial(CARAFEConv, reassembly=reassembly),
        upsample=functools.partial(CARAFEUpsample, **up),
    )


def unet_name(choice: Resampler) -> str:
    """Return the name of a U-Net in tables."""
    return "U-Net, CARAFE++" if choice == "carafe" else "U-Net"
