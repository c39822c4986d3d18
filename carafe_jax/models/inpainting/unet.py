"""U-Net for inpainting, with the resamplers as arguments."""

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.linear import default_kernel_init
from jaxtyping import Array, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.inpainting.output import (
    Inpainting,
    StartingFill,
    check_image_and_mask,
    compose,
    given_pixels,
    start_from,
)
from carafe_jax.models.unet import EncoderDecoder
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.dtypes import dtypes_of
from carafe_jax.ops import wide_dtype


# Our own errors for wrong fields and images are clearer.
@no_type_check
class UNet(EncoderDecoder):
    """Encoder-decoder with skips that fills the holes of images of any size.

    It is an `EncoderDecoder`, whose dilated bottleneck has a receptive field that spans
    large holes, and a last convolution.

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

    starting_fill: StartingFill | None = None

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
        x = self.encode_and_decode(x, train=train)
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
