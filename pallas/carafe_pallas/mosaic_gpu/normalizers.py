"""Normalizers over the taps of kernels, given as a list of one array for each tap.

A thread holds all taps of its kernels, so that nothing is reduced across threads.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array

from carafe_pallas.call import Normalizer


def normalize(logits: list[Array], normalizer: Normalizer | None) -> list[Array]:
    """Normalise over the taps of each row."""
    match normalizer:
        case None:
            return logits
        case "softmax":
            return _softmax(logits)
        case "sigmoid":
            return [_sigmoid(logit) for logit in logits]
        case "normalized_sigmoid":
            return _softmax([_log_sigmoid(logit) for logit in logits])


def pull_back(
    gradient: list[Array], logits: list[Array], normalizer: Normalizer | None
) -> list[Array]:
    """Convert the gradient of the normalised kernels to that of the logits."""
    kernels = normalize(logits, normalizer)
    if normalizer == "sigmoid":
        pairs = zip(gradient, kernels, strict=True)
        return [g * kernel * (1 - kernel) for g, kernel in pairs]
    inner = _total([g * k for g, k in zip(gradient, kernels, strict=True)])
    pulled = [k * (g - inner) for g, k in zip(gradient, kernels, strict=True)]
    if normalizer == "normalized_sigmoid":
        pairs = zip(pulled, logits, strict=True)
        return [g * _sigmoid(-logit) for g, logit in pairs]
    return pulled


def _softmax(logits: list[Array]) -> list[Array]:
    highest = functools.reduce(jnp.maximum, logits)
    exponentials = [jnp.exp(logit - highest) for logit in logits]
    # One division for all taps.
    scale = 1 / _total(exponentials)
    return [exponential * scale for exponential in exponentials]


def _sigmoid(logit: Array) -> Array:
    return 1 / (1 + jnp.exp(-logit))


def _log_sigmoid(logit: Array) -> Array:
    return jnp.minimum(logit, 0.0) - jnp.log(1 + jnp.exp(-jnp.abs(logit)))


def _total(terms: list[Array]) -> Array:
    return functools.reduce(jnp.add, terms)
