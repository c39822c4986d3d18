"""Images with padding at the bottom and right, on the host and on the device."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, UInt8

from carafe_jax.data import IMAGENET_MEAN, IMAGENET_STD
from carafe_jax.errors import no_type_check
from carafe_jax.tasks.image_size import Size


def padded_image(
    pixels: UInt8[np.ndarray, "h w *c"], size: Size, *, value: int = 0
) -> UInt8[np.ndarray, "ph pw *c"]:
    """Return an image, or a label map, with padding at the bottom and right.

    Args:
      pixels: Image, not larger than `size`.
      size: Of the result.
      value: Value of the padding.
    """
    padded = np.full((*size, *pixels.shape[2:]), value, np.uint8)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    return padded


@no_type_check
def normalised_images(
    images: Array, sizes: Array, *, dtype: DTypeLike, starts: Array | None = None
) -> Array:
    """Return images with the colours of ImageNet normalised, and zeros in the padding.

    Args:
      images: (n, h, w, 3) RGB in [0, 255].
      sizes: (n, 2) height and width of each image without its padding.
      dtype: Of the result; the computation is in float32.
      starts: (n, 2) rows of padding above each image, and columns on its left. None:
        all padding is at the bottom and right.
    """
    mean, std = (jnp.array(x, jnp.float32) for x in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (images.astype(jnp.float32) - mean) / std
    if starts is None:
        starts = jnp.zeros_like(sizes)
    rows = _is_inside(images.shape[1], starts[:, :1], sizes[:, :1])
    columns = _is_inside(images.shape[2], starts[:, 1:], sizes[:, 1:])
    inside = rows[:, :, None] & columns[:, None, :]
    return jnp.where(inside[..., None], normalised, 0).astype(dtype)


def _is_inside(length: int, starts: Array, sizes: Array) -> Array:
    places = jnp.arange(length)
    return (places >= starts) & (places < starts + sizes)
