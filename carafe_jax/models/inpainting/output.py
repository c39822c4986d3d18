"""Arguments and outputs that inpainting networks share."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError

StartingFill = Callable[[Array, Array], Array]
"""Returns an image (n, h, w, c) with its hole filled, from the image and the mask."""


class Inpainting(NamedTuple):
    """Outputs of an inpainting network, in the range of the input image."""

    composed: Float[Array, "n h w c"]
    """The image with its hole filled: (1 - M) x + M y."""
    predicted: Float[Array, "n h w c"]
    """The prediction y everywhere."""


def check_image_and_mask(image: Array, mask: Array) -> None:
    """Refuse an image and a mask that do not belong together."""
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise RefusedError(
            "`image` must be floating with 4 axes, (N, H, W, C), "
            f"got {image.dtype} of shape {image.shape}."
        )
    if mask.shape != (*image.shape[:3], 1):
        raise RefusedError(
            f"`mask` must have shape {(*image.shape[:3], 1)}, as the image has "
            f"{image.shape}, got {mask.shape}."
        )


def given_pixels(
    image: Float[Array, "n h w c"], mask: Float[Array, "n h w 1"]
) -> Float[Array, "n h w c"]:
    """Return (1 - M) x: zero in the hole, even where the image is not finite there."""
    return jnp.where(mask == 1, 0, (1 - mask) * image)


def compose(
    given: Float[Array, "n h w c"],
    mask: Float[Array, "n h w 1"],
    predicted: Float[Array, "n h w c"],
) -> Inpainting:
    """Fill the hole of `given_pixels` with the prediction."""
    return Inpainting(composed=given + mask * predicted, predicted=predicted)
