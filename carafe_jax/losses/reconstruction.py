"""Reconstruction losses within a region of the image."""

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
    """Return the mean absolute difference over the masked pixels of the batch.

    It equals::

        sum(M |y - x|) / (C sum(M))

    With the hole as the mask it is the reconstruction loss of Global&Local in
    mmediting.

    Args:
      predictions: Predictions y.
      targets: Targets x.
      mask: Mask M, 1 at the pixels to average over.

    Returns:
      The mean in float32 or, if the images have more precision, in theirs; zero if the
      mask is empty.

    Raises:
      RefusedError: The shapes do not match.
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
    total = counted.sum()
    return (error * counted).sum() / jnp.where(total > 0, total, 1)
