"""Losses of two-stage detectors, as sums over boxes divided by a given count."""

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Num

from carafe_jax.arguments import Number
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype

# mmdetection adds it to every count that a loss is divided by.
_EPSILON = float(np.finfo(np.float32).eps)


@no_type_check
def objectness_loss(
    logits: Float[Array | np.ndarray, "*b"],
    positive: Bool[Array | np.ndarray, "*b"] | Float[Array | np.ndarray, "*b"],
    *,
    weights: Float[Array | np.ndarray, "*b"],
    count: Num[Array | np.ndarray, ""] | Number,
) -> Float[Array, ""]:
    """Return the objectness loss of an RPN, a binary cross-entropy over its anchors.

    It equals ``sum(weights * BCE(logits, positive)) / (count + eps)`` with the eps of
    float32 (Ren et al. 2015, equation 1; mmdetection's `RPNHead`).

    Args:
      logits: Logits of the anchors.
      positive: Whether each anchor is matched with an object.
      weights: 1 for sampled anchors, 0 for the others.
      count: Number to divide by.

    Returns:
      The loss in float32 or, if the logits have more precision, in theirs.

    Raises:
      RefusedError: The shapes do not match.
    """
    logits = _wide(logits)
    positive = _checked("positive", positive, logits.shape)
    weights = _checked("weights", weights, logits.shape)
    labels = positive.astype(logits.dtype)
    losses = optax.sigmoid_binary_cross_entropy(logits, labels)
    return _average(losses, weights, count)


@no_type_check
def box_loss(
    deltas: Float[Array | np.ndarray, "*b 4"],
    targets: Float[Array | np.ndarray, "*b 4"],
    *,
    weights: Float[Array | np.ndarray, "*b"],
    count: Num[Array | np.ndarray, ""] | Number,
) -> Float[Array, ""]:
    """Return the box regression loss, an L1 distance from predicted to true deltas.

    It equals ``sum(weights * sum(|deltas - targets|, -1)) / (count + eps)`` with the
    eps of float32 (mmdetection's `L1Loss`).

    Args:
      deltas: Predicted deltas.
      targets: True deltas, from `carafe_jax.ops.encode_boxes`.
      weights: 1 for positive boxes, 0 for the others.
      count: Number to divide by.

    Returns:
      The loss in float32 or, if the deltas have more precision, in theirs.

    Raises:
      RefusedError: The shapes do not match.
    """
    deltas = _wide(deltas)
    targets = _checked("targets", targets, deltas.shape)
    weights = _checked("weights", weights, deltas.shape[:-1])
    distances = jnp.abs(deltas - targets.astype(deltas.dtype)).sum(-1)
    return _average(distances, weights, count)


@no_type_check
def classification_loss(
    logits: Float[Array | np.ndarray, "*b k"],
    classes: Int[Array | np.ndarray, "*b"],
    *,
    weights: Float[Array | np.ndarray, "*b"],
    count: Num[Array | np.ndarray, ""] | Number,
) -> Float[Array, ""]:
    """Return the classification loss of a box head, a cross-entropy over its boxes.

    It equals ``sum(weights * CE(logits, classes)) / (count + eps)`` with the eps of
    float32 (mmdetection's `Shared2FCBBoxHead`).

    Args:
      logits: Logits of the classes and, last, of the background.
      classes: True classes; any integers where the weight is 0.
      weights: 1 for sampled boxes, 0 for the others.
      count: Number to divide by.

    Returns:
      The loss in float32 or, if the logits have more precision, in theirs.

    Raises:
      RefusedError: The shapes do not match.
    """
    logits = _wide(logits)
    classes = _checked("classes", classes, logits.shape[:-1])
    weights = _checked("weights", weights, logits.shape[:-1])
    # An index beyond the classes would give NaN, also with a weight of zero.
    chosen = jnp.where(weights > 0, classes, 0)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, chosen)
    return _average(losses, weights, count)


@no_type_check
def mask_loss(
    logits: Float[Array | np.ndarray, "*b h w"],
    targets: Bool[Array | np.ndarray, "*b h w"] | Float[Array | np.ndarray, "*b h w"],
    *,
    weights: Float[Array | np.ndarray, "*b"],
) -> Float[Array, ""]:
    """Return the loss of a mask head, a mean binary cross-entropy over pixels.

    It equals ``sum(weights * mean(BCE(logits, targets))) / sum(weights)`` (He et al.
    2017, section 3).

    Args:
      logits: Logits of the masks of the true classes.
      targets: Whether each pixel belongs to the object.
      weights: 1 for positive boxes, 0 for the others.

    Returns:
      The loss in float32 or, if the logits have more precision, in theirs; zero if all
      weights are zero.

    Raises:
      RefusedError: The shapes do not match.
    """
    logits = _wide(logits)
    targets = _checked("targets", targets, logits.shape)
    weights = _checked("weights", weights, logits.shape[:-2])
    labels = targets.astype(logits.dtype)
    losses = optax.sigmoid_binary_cross_entropy(logits, labels).mean((-2, -1))
    weights = weights.astype(losses.dtype)
    total = weights.sum()
    return (losses * weights).sum() / jnp.where(total > 0, total, 1)


def _wide(x: Array | np.ndarray) -> Array:
    return jnp.asarray(x, wide_dtype(x.dtype))


def _average(losses: Array, weights: Array, count: object) -> Array:
    divisor = jnp.asarray(count).astype(losses.dtype) + _EPSILON
    return (losses * weights.astype(losses.dtype)).sum() / divisor


@no_type_check
def _checked(name: str, x: Array | np.ndarray, shape: tuple[int, ...]) -> Array:
    x = jnp.asarray(x)
    if x.shape != shape:
        raise RefusedError(f"`{name}` must have shape {shape}, got {x.shape}.")
    return x
