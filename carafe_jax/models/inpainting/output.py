"""Common arguments and outputs of inpainting networks."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check

StartingFill = Callable[[Array, Array], Array]
"""Function of an image (n, h, w, c) and its mask that returns the filled image."""


class Inpainting(NamedTuple):
    """Outputs of an inpainting network, in the range of the input image."""

    composed: Float[Array, "n h w c"]
    """The image with its hole filled: (1 - M) x + M y."""
    predicted: Float[Array, "n h w c"]
    """The prediction y everywhere."""


# Our own errors for wrong fills are clearer.
@no_type_check
def start_from(
    starting_fill: StartingFill,
    given: Float[Array, "n h w c"],
    mask: Float[Array, "n h w 1"],
) -> Float[Array, "n h w c"]:
    """Return the starting fill of the given pixels.

    Raises:
      RefusedError: `starting_fill` is not a function, or does not return a floating
        image of the shape of its argument.
    """
    if not callable(starting_fill):
        raise RefusedError(
            "`starting_fill` must be a function of an image and a mask, such as "
            f"`spline_fill`, got {starting_fill!r}."
        )
    filled = starting_fill(given, mask)
    shape = getattr(filled, "shape", None)
    if shape != given.shape or not jnp.issubdtype(filled.dtype, jnp.floating):
        made = f"{filled.dtype} of shape {shape}" if shape is not None else repr(filled)
        raise RefusedError(
            f"`starting_fill` must return a floating image of shape {given.shape}, got "
            f"{made}."
        )
    return filled.astype(given.dtype)


def check_image_and_mask(image: Array, mask: Array) -> None:
    """Raise if the shapes or dtypes of an image and its mask are invalid."""
    if image.ndim != 4 or not jnp.issubdtype(image.dtype, jnp.floating):
        raise RefusedError(
            "`image` must be floating and of rank 4, (N, H, W, C), "
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
    # Not the sum alone: a non-finite prediction must not change given pixels.
    composed = jnp.where(mask == 0, given, given + mask * predicted)
    return Inpainting(composed=composed, predicted=predicted)
