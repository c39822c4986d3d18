"""A map and where it is valid."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Masked(NamedTuple):
    """A map with holes: what partial layers take and return.

    The polarity is that of partial convolution: 1 where a pixel is valid, 0 in the
    hole. It is the opposite of an inpainting mask M, which is 1 in the hole: an image
    starts as `Masked(image, 1 - M)`. There are no values between.
    """

    features: Float[Array, "n h w c"]
    """The map. What it holds in its holes is not looked at, not even NaN."""
    valid: Float[Array, "n h w 1"] | Float[Array, "n h w c"]
    """1 where valid, 0 in the hole: one map for all channels, or one for each."""
