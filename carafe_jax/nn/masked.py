"""A feature map and its validity."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Masked(NamedTuple):
    """A feature map with holes, the input and output of partial layers.

    The polarity is that of partial convolution: 1 where a pixel is valid, 0 in the
    hole. It is the opposite of an inpainting mask M, which is 1 in the hole: an image
    starts as `Masked(image, 1 - M)`. Both are 0 or 1, never between.
    """

    features: Float[Array, "n h w c"]
    """Feature map. Values in holes are ignored, NaN too."""
    valid: Float[Array, "n h w 1"] | Float[Array, "n h w c"]
    """1 where valid, 0 in the hole: one map for all channels, or one for each."""
