"""Distances of a prediction from its target within a part of the image."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype


@no_type_check
def masked_l1(
    predictions: Float[Array | np.ndarray, "n h w c"],
    targets: Float[Array | np.ndarray, "n h w c"],
    *,
    mask: Float[Array | np.ndarray, "n h w 1"],
) -> Float[Array, ""]:
    """Average the absolute difference over the pixels of a mask, of the whole batch.

        sum(M |y - x|) / (C sum(M))

    With the hole as the mask it is the reconstruction loss of Global&Local in
    mmediting.

    Args:
      predictions: y.
      targets: x.
      mask: M, 1 at the pixels that count.

    Returns:
      The mean in float32 or, where the images have more precision, in theirs; zero
      where no pixel counts.

    Raises:
      RefusedError: Shapes do not belong together.
    """
    if predictions.shape != targets.shape:
        raise RefusedError(
            f"`predictions` must have the shape of `targets`, {targets.shape}, "
            f"got {predictions.shape}."
        )
    if mask.shape != (*targets.shape[:3], 1):
        raise RefusedError(
            f"`mask` must have shape {(*targets.shape[:3], 1)}, got {mask.shape}."
        )
    images, originals = jnp.asarray(predictions), jnp.asarray(targets)
    dtype = wide_dtype(images.dtype, originals.dtype)
    images, originals = images.astype(dtype), originals.astype(dtype)
    error = jnp.abs(images - originals).mean(-1, keepdims=True)
    counted = jnp.asarray(mask, dtype)
    return (error * counted).sum() / jnp.maximum(counted.sum(), 1)
