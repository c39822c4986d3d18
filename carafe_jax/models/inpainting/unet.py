"""U-Net for inpainting, with the resamplers as arguments."""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.linear import default_kernel_init
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.conv_blocks import CARAFEConv, ResampleConv
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
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.crop import crop
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.nn.factories import LayerFactory
from carafe_jax.ops import wide_dtype

# The network applies the activation.
_resample_conv = functools.partial(ResampleConv, activation=None)


# Our own errors for wrong fields and images are clearer.
@no_type_check
class UNet(nn.Module):
    """Encoder-decoder with skips that fills the holes of images of any size.

    Each stage halves the map, to ceil(H / 2); the decoder doubles it and crops it to
    the size of the skip, so that no size needs padding. With CARAFE++, the default,
    strided convolutions become CARAFE++ followed by a convolution without stride, and
    up-sampling becomes CARAFE++ (arXiv:2012.04733, section 4.3). The bottleneck has
    dilated convolutions, as in Global&Local (Iizuka et al. 2017), so that its receptive
    field spans large holes.

    The mean colour of the given pixels is subtracted from the input, and the network
    predicts the residual. With a `starting_fill`, the input has that fill in the hole,
    and the network predicts the residual on the fill; its last layer starts at zero, so
    that an untrained network returns the starting fill.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models import UNet
      >>> image, mask = jnp.zeros((1, 37, 50, 3)), jnp.ones((1, 37, 50, 1))
      >>> network = UNet(stage_features=(8, 16))
      >>> variables = network.init(jax.random.key(0), image, mask)
      >>> network.apply(variables, image, mask).composed.shape
      (1, 37, 50, 3)

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
      starting_fill: Function that fills the holes of the network's input, such as
        `spline_fill`: called with the image, zero in the hole, and the mask, it returns
        the filled image. None: the mean colour of the given pixels (default: None).
      activation: Activation after each convolution but the last (default: ELU).
      dtype: Dtype of the computation (default: that of the image).
      param_dtype: Dtype of the parameters (default: float32).
    """

    stage_features: Sequence[int] = (32, 64, 128, 128)
    middle_dilations: Sequence[int] = (1, 2, 4)
    downsample: LayerFactory = CARAFEConv
    upsample: LayerFactory = CARAFEUpsample
    starting_fill: StartingFill | None = None
    activation: Callable[[Array], Array] = nn.elu
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

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
          train: Passed to the resamplers.

        Returns:
          `composed`, with given pixels unchanged, and `predicted`; neither is clipped
          to [-1, 1].

        Raises:
          RefusedError: Shapes or dtypes do not match, or a field is invalid.
        """
        image, mask = jnp.asarray(image), jnp.asarray(mask)
        check_image_and_mask(image, mask)
        dtype = dtypes_of(self, image)["dtype"]
        mask = mask.astype(image.dtype)
        given = given_pixels(image, mask)
        mean = _mean_colour(given, mask)
        if self.starting_fill is None:
            start, seen = mean, given - (1 - mask) * mean
            output_init = default_kernel_init
        else:
            start = start_from(self.starting_fill, given, mask)
            seen, output_init = start - mean, nn.initializers.zeros
        x = jnp.concatenate([seen, mask], axis=-1).astype(dtype)
        x, skips = self._encode(x, dtype, train=train)
        for index, dilation in enumerate(self.middle_dilations):
            features = self.stage_features[-1]
            x = self._conv(x, features, f"middle_{index}", dtype, dilation=dilation)
        x = self._decode(x, skips, dtype, train=train)
        predicted = Conv(
            image.shape[-1],
            (3, 3),
            padding=((1, 1), (1, 1)),
            kernel_init=output_init,
            dtype=dtype,
            param_dtype=self.param_dtype,
            name="output",
        )(x)
        predicted = start + predicted.astype(image.dtype)
        return compose(given, mask, predicted)

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


def _mean_colour(
    given: Float[Array, "n h w c"], mask: Float[Array, "n h w 1"]
) -> Float[Array, "n 1 1 c"]:
    """Return the mean colour of the given pixels, or zero without any.

    Sums are in float32 or wider.
    """
    dtype = wide_dtype(given.dtype)
    total = given.sum((1, 2), keepdims=True, dtype=dtype)
    count = (1 - mask).sum((1, 2), keepdims=True, dtype=dtype)
    return (total / jnp.maximum(count, 1)).astype(given.dtype)
