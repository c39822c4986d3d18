"""Loss of semantic segmentation."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Integer

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype


class PixelLoss(NamedTuple):
    """Loss of a batch, as the two terms of its mean.

    Terms of several batches are added before they are divided.
    """

    total: Float[Array, ""]
    """Weighted sum over the pixels that are not ignored."""
    weight: Float[Array, ""]
    """Sum of the weights of those pixels; without `class_weights`, their number."""

    @property
    def mean(self) -> Float[Array, ""]:
        """Weighted mean over the pixels; 0 where none has a weight."""
        return self.total / jnp.where(self.weight > 0, self.weight, 1)


@no_type_check
def pixel_loss(
    logits: Float[Array | np.ndarray, "*n k"],
    labels: Integer[Array | np.ndarray, "*n"],
    *,
    ignored: int = 255,
    class_weights: Float[Array | np.ndarray, " k"] | Sequence[float] | None = None,
) -> PixelLoss:
    """Return the cross-entropy of the classes of all pixels.

    Args:
      logits: Logits of the classes.
      labels: Class of each pixel, an index below k or `ignored`. Other values count as
        ignored too; sources of labels refuse them when they are read.
      ignored: Label of pixels that do not count.
      class_weights: Weight of the pixels of each class, as `weight` of PyTorch's
        cross-entropy. None: 1.

    Returns:
      The weighted sum over the pixels and the sum of the weights, in float32 or, if the
      logits have more precision, in theirs.

    Raises:
      RefusedError: The logits are not floating or have no class, the shapes do not
        match, the labels are not ints, or a class has no weight.
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise RefusedError(f"`logits` must be floating, got {logits.dtype}.")
    rule = "have at least one class, along the last axis"
    check("logits", logits.shape, rule, holds=logits.shape[-1:] > (0,))
    if labels.shape != logits.shape[:-1]:
        raise RefusedError(
            f"`labels` must have the shape {logits.shape[:-1]}, that of `logits` "
            f"without the classes, got {labels.shape}."
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise RefusedError(f"`labels` must be ints, got {labels.dtype}.")
    logits = logits.astype(wide_dtype(logits.dtype))
    labels = labels.astype(np.int32)
    counted = (labels >= 0) & (labels < logits.shape[-1]) & (labels != ignored)
    # An index beyond the classes would give NaN, whose gradient a mask does not stop.
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits, jnp.where(counted, labels, 0)
    )
    weights = counted.astype(logits.dtype)
    if class_weights is not None:
        each = jnp.asarray(class_weights, logits.dtype)
        rule = f"have one number for each of the {logits.shape[-1]} classes"
        holds = each.shape == logits.shape[-1:]
        check("class_weights", each.shape, rule, holds=holds)
        weights *= each[jnp.where(counted, labels, 0)]
    total = jnp.where(counted, weights * losses, 0).sum()
    return PixelLoss(total, weights.sum())
