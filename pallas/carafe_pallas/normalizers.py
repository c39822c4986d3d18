"""The normalizers of table XIV of CARAFE++, and their VJPs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from carafe_pallas.call import Normalizer


def normalize(
    logits: Float[Array, "*b taps"], normalizer: Normalizer
) -> Float[Array, "*b taps"]:
    """Normalise over the taps, in the dtype of the logits."""
    match normalizer:
        case "softmax":
            return jax.nn.softmax(logits)
        case "sigmoid":
            return jax.nn.sigmoid(logits)
        case "normalized_sigmoid":
            # Equal to s / sum(s), without 0 / 0 where every sigmoid underflows.
            return jax.nn.softmax(jax.nn.log_sigmoid(logits))


def pull_back(
    gradient: Float[Array, "*b taps"],
    logits: Float[Array, "*b taps"],
    normalizer: Normalizer,
) -> Float[Array, "*b taps"]:
    """Convert the gradient of the normalised kernels to that of the logits."""
    kernels = normalize(logits, normalizer)
    if normalizer == "sigmoid":
        return gradient * kernels * (1 - kernels)
    inner = jnp.sum(kernels * gradient, axis=-1, keepdims=True)
    gradient = kernels * (gradient - inner)
    if normalizer == "normalized_sigmoid":
        gradient = gradient * jax.nn.sigmoid(-logits)
    return gradient
