"""Generator of Global&Local (Iizuka et al. 2017), with its layers as arguments."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.models.conv_blocks import (
    Activation,
    CARAFEConv,
    ConvBlock,
    DeconvBlock,
    ResampleConv,
    relu_init,
)
from carafe_jax.models.inpainting.output import (
    Inpainting,
    StartingFill,
    check_image_and_mask,
    compose,
    given_pixels,
    start_from,
)
from carafe_jax.models.resampling import resample
from carafe_jax.nn.carafe import CARAFEUpsample
from carafe_jax.nn.crop import crop
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory, call_layer, check_factory
from carafe_jax.nn.masked import Masked
from carafe_jax.nn.partial.partial_block import PartialConvBlock, PartialResampleConv
from carafe_jax.nn.partial.partial_carafe import PartialCARAFE
from carafe_jax.nn.partial.partial_upsample import PartialNearestUpsample


def concatenate(
    given: Float[Array, "n h w c"], mask: Float[Array, "n h w 1"]
) -> Float[Array, "n h w c+1"]:
    """Return the given pixels and the mask, concatenated along the channels."""
    return jnp.concatenate([given, mask], axis=-1)


def identity(features: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
    """Return the map unchanged."""
    return features


# Our own errors for wrong fields and images are clearer.
@no_type_check
class GlobalLocal(nn.Module):
    """Encoder-decoder without skips that fills the holes of images of any size.

    Layers, sizes and outputs are those of mmediting's Global&Local. The decoder crops
    each map to its size in the encoder, so that no size needs padding. Every layer is
    an argument, and the maps between layers can be any pytree of arrays (n, h, w, c),
    such as features with their validity. `enter` returns the first map, from the image
    and the mask; each layer is called as `layer(map, train)` and returns the next one;
    `leave` returns the prediction, from the last map.

    All layers are made with `features`, `norm`, `activation`, `dtype`, `param_dtype`
    and `name`; the last block has neither norm nor activation.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import GlobalLocal
      >>> image, mask = jnp.zeros((1, 37, 50, 3)), jnp.ones((1, 37, 50, 1))
      >>> network = GlobalLocal(width=8)
      >>> variables = network.init(jax.random.key(0), image, mask)
      >>> network.apply(variables, image, mask).composed.shape
      (1, 37, 50, 3)

    Attributes:
      width: Channels at full size, even; 2 and 4 times as many at half and at a
        quarter (default: 64).
      middle_dilations: Dilation of each block between encoder and decoder
        (default: 2, 4, 8, 16).
      block: Factory of the layers that keep the size of the map, also called with
        `kernel_size` and `dilation` (default: `ConvBlock`).
      downsample: Factory of the layers that halve the map, to ceil(H / 2) rows: any
        down-sampler of `carafe_jax.nn`, a `functools.partial` of one, or another
        factory (`carafe_jax.nn.factories`) (default: `ConvBlock` with stride 2).
      upsample: Factory of the layers that double the map, likewise (default:
        `DeconvBlock`).
      resample_block: Factory of the layer around a resampler that does not accept
        `features`, `norm` and `activation`, called with these and `resample` (default:
        `ResampleConv`).
      enter: Function that returns the first map, from the given pixels, zero in the
        hole, and the mask (default: `concatenate`).
      leave: Function that returns the prediction, from the last map (default:
        `identity`).
      starting_fill: Function that fills the holes of the network's input, as that of
        `UNet`. The network predicts a residual on it; its last block is also made with
        `kernel_init=nn.initializers.zeros` (default: None).
      norm: Factory of the norms, passed to the layers (default: None).
      activation: Activation, passed to the layers (default: ReLU).
      dtype: Dtype of the computation (default: that of the image).
      param_dtype: Dtype of the parameters (default: float32).
    """

    width: int = 64
    middle_dilations: Sequence[int] = (2, 4, 8, 16)
    block: LayerFactory = ConvBlock
    downsample: LayerFactory = functools.partial(ConvBlock, stride=2)
    upsample: LayerFactory = DeconvBlock
    resample_block: LayerFactory = ResampleConv
    enter: Callable[[Array, Array], object] = concatenate
    leave: Callable[[Any], Array] = identity
    starting_fill: StartingFill | None = None
    norm: LayerFactory | None = None
    activation: Activation | None = nn.relu
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    def __post_init__(self) -> None:
        """Raise if a field is invalid."""
        if self.width < 2 or self.width % 2:
            raise RefusedError(f"`width` must be positive and even, got {self.width}.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "n h w c"],
        mask: Float[Array, "n h w 1"],
        train: bool = False,
    ) -> Inpainting:
        """Fill the hole of each image.

        Args:
          image: Image in [-1, 1]. Its values in the hole are ignored.
          mask: Mask M, 1 in the hole and 0 at the given pixels.
          train: Passed to the layers.

        Returns:
          Images in [-1, 1]: the prediction is clipped, with no gradient outside.

        Raises:
          RefusedError: Shapes or dtypes do not match, or a field is invalid.
        """
        image, mask = jnp.asarray(image), jnp.asarray(mask)
        check_image_and_mask(image, mask)
        dtype = dtypes_of(self, image)["dtype"]
        mask = mask.astype(image.dtype)
        given = given_pixels(image, mask)
        shared = {
            "norm": self.norm,
            "activation": self.activation,
            "dtype": dtype,
            "param_dtype": self.param_dtype,
        }
        run = functools.partial(self._block, train=train, shared=shared)
        scale = functools.partial(self._resample, train=train, shared=shared)
        last: dict[str, Any] = {"norm": None, "activation": None}
        if self.starting_fill is None:
            start, seen = jnp.zeros_like(given), given
        else:
            start = seen = start_from(self.starting_fill, given, mask)
            last["kernel_init"] = nn.initializers.zeros
        x = self.enter(seen.astype(dtype), mask.astype(dtype))
        x, levels = self._encode(x, run, scale)
        for index, dilation in enumerate(self.middle_dilations):
            name = f"middle_{index}"
            x = run(x, 4 * self.width, name, dilation=dilation)
        x = self._decode(x, levels, run, scale)
        x = run(x, image.shape[-1], "output", **last)
        predicted = jnp.clip(start + self.leave(x).astype(image.dtype), -1, 1)
        return compose(given, mask, predicted)

    def _encode(
        self, x: object, run: Callable[..., object], scale: Callable[..., object]
    ) -> tuple[object, list[object]]:
        """Return the smallest map, and the last map at each larger size."""
        full = run(x, self.width, "stem", kernel_size=5)
        half = scale("downsample", full, 2 * self.width, "down_1")
        half = run(half, 2 * self.width, "encoder_1")
        x = scale("downsample", half, 4 * self.width, "down_2")
        for index in range(2):
            x = run(x, 4 * self.width, f"encoder_2_{index}")
        return x, [full, half]

    def _decode(
        self,
        x: object,
        levels: list[object],
        run: Callable[..., object],
        scale: Callable[..., object],
    ) -> object:
        full, half = levels
        for index in range(2):
            x = run(x, 4 * self.width, f"decoder_2_{index}")
        x = _crop_to(half, scale("upsample", x, 2 * self.width, "up_1"))
        x = run(x, 2 * self.width, "decoder_1")
        x = _crop_to(full, scale("upsample", x, self.width, "up_0"))
        return run(x, self.width // 2, "decoder_0")

    def _block(
        self,
        x: object,
        features: int,
        name: str,
        *,
        train: bool,
        shared: dict[str, Any],
        **fields: Any,
    ) -> object:
        """Return the output of a new block."""
        check_factory("block", self.block)
        layer = self.block(features=features, name=name, **{**shared, **fields})
        return call_layer("block", self.block, layer, x, train)

    def _resample(
        self,
        argument: str,
        x: object,
        features: int,
        name: str,
        *,
        train: bool,
        shared: dict[str, Any],
    ) -> object:
        return resample(
            argument,
            {"downsample": self.downsample, "upsample": self.upsample}[argument],
            x,
            train,
            name=name,
            features=features,
            block=self.resample_block,
            **shared,
        )


def _crop_to(level: object, x: object) -> object:
    def crop_one(larger: Array, x: Array) -> Array:
        return crop(x, size=larger.shape[1:3])

    return jax.tree.map(crop_one, level, x)


_carafe_conv = functools.partial(CARAFEConv, kernel_init=relu_init)

GlobalLocalCARAFE = functools.partial(
    GlobalLocal,
    downsample=_carafe_conv,
    upsample=functools.partial(_carafe_conv, reassembly=CARAFEUpsample),
)
"""Global&Local with CARAFE++ in all down- and up-sampling layers (section 4.3)."""


def enter_masked(
    given: Float[Array, "n h w c"], mask: Float[Array, "n h w 1"]
) -> Masked:
    """Return a map with holes that is valid at the given pixels."""
    return Masked(given, 1 - mask)


def leave_masked(masked: Masked) -> Float[Array, "n h w c"]:
    """Return the features of the map; pixels that are still hole are zero."""
    return masked.features


PartialGlobalLocal = functools.partial(
    GlobalLocal,
    block=PartialConvBlock,
    downsample=functools.partial(PartialConvBlock, stride=2),
    upsample=functools.partial(PartialResampleConv, resample=PartialNearestUpsample),
    resample_block=PartialResampleConv,
    enter=enter_masked,
    leave=leave_masked,
)
"""Global&Local with partial convolutions instead of all convolutions.

The mask is not a channel of the input. Up-sampling is nearest neighbour, followed by a
partial convolution, as in Liu et al. (arXiv:1804.07723).
"""

PartialGlobalLocalCARAFE = functools.partial(
    PartialGlobalLocal,
    downsample=PartialResampleConv,
    upsample=functools.partial(
        PartialResampleConv,
        resample=functools.partial(PartialCARAFE, reassembly=CARAFEUpsample),
    ),
)
"""`PartialGlobalLocal` with CARAFE++ as in `GlobalLocalCARAFE`."""
