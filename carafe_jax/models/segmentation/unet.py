"""A U-Net that classifies each pixel, with the resamplers as arguments."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.errors import no_type_check
from carafe_jax.models.segmentation.network import SegmentationNetwork
from carafe_jax.models.segmentation.outputs import SegmentationOutputs
from carafe_jax.models.unet import EncoderDecoder
from carafe_jax.nn._arguments import check_int, checked_features
from carafe_jax.nn.conv import Conv
from carafe_jax.nn.factories import checked_switch
from carafe_jax.ops import wide_dtype


# Our own errors for wrong fields and images are clearer, below as well.
@no_type_check
class UNetBackbone(EncoderDecoder):
    """Features of images at full size: the encoder and the decoder of a U-Net.

    The fields are those of `EncoderDecoder`.
    """

    @nn.compact
    def __call__(
        self, images: Float[Array, "n h w c"], train: bool = False
    ) -> Float[Array, "n h w f"]:
        """Return the features.

        Args:
          images: Normalised images.
          train: Passed to the resamplers.
        """
        train = checked_switch("train", train)
        return self.encode_and_decode(checked_features(images), train=train)


@no_type_check
class SegmentationUNet(SegmentationNetwork):
    """U-Net: the U-Net of inpainting, whose last convolution predicts classes.

    The logits have the size of the images.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from carafe_jax.models.segmentation import SegmentationUNet, UNetBackbone
      >>> network = SegmentationUNet(UNetBackbone((8, 16)), classes=11)
      >>> images = jnp.zeros((1, 37, 50, 3))
      >>> variables = jax.eval_shape(network.init, jax.random.key(0), images)
      >>> jax.eval_shape(network.apply, variables, images).shape
      (1, 37, 50, 11)

    Attributes:
      backbone: Network that returns features at the size of the images:
        `UNetBackbone`.
      classes: Number of classes.
      param_dtype: Dtype of the parameters of the last convolution (default: float32).
    """

    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def decode(
        self, features: Float[Array, "n h w f"], train: bool = False
    ) -> SegmentationOutputs:
        """Return the logits of features, at their size.

        Args:
          features: Map of the backbone.
          train: Not used; the decoder of a U-Net is a part of its backbone.

        Raises:
          RefusedError: The map or a field is invalid.
        """
        check_int("classes", self.classes)
        features = checked_features(features)
        logits = Conv(
            self.classes,
            (3, 3),
            padding=((1, 1), (1, 1)),
            dtype=wide_dtype(features.dtype),
            param_dtype=self.param_dtype,
            name="classifier",
        )(features)
        return SegmentationOutputs(logits)
