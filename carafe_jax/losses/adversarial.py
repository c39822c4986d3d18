"""Adversarial losses of patch discriminators."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype

Kind = Literal["vanilla", "least_squares", "wasserstein", "hinge"]


@no_type_check
def discriminator_loss(
    real_logits: Float[Array | np.ndarray, "n h w c"],
    fake_logits: Float[Array | np.ndarray, "n h w c"],
    *,
    kind: Kind,
    weights: Float[Array | np.ndarray, "n h w 1"] | None = None,
) -> Float[Array, ""]:
    """Return the discriminator's loss: low if real logits are high and fake ones low.

    It is the sum of a mean over the logits r of real images and a mean over the logits
    f of fake images, of::

        vanilla        -log sigmoid(r)   -log(1 - sigmoid(f))   Goodfellow et al. 2014
        least_squares  (r - 1)^2         f^2                    Mao et al. 2017
        wasserstein    -r                f                      Arjovsky et al. 2017
        hinge          max(0, 1 - r)     max(0, 1 + f)          Lim & Ye 2017

    Args:
      real_logits: Logits of real images.
      fake_logits: Logits of images from a generator.
      kind: Loss to compute. "wasserstein" needs a discriminator that is kept Lipschitz
        by other means.
      weights: Non-negative weights of both means, broadcast to the logits, such as
        those of `patch_weights` (default: equal weights).

    Returns:
      The loss in float32 or, if the logits have more precision, in theirs. A mean whose
      weights are all zero is zero.

    Raises:
      RefusedError: `kind` is unknown, or `weights` cannot be broadcast to the logits.
    """
    loss = _loss(_DISCRIMINATOR, kind)
    real = _weighted_mean(loss(_wide(real_logits), real=True), weights)
    return real + _weighted_mean(loss(_wide(fake_logits), real=False), weights)


@no_type_check
def generator_loss(
    fake_logits: Float[Array | np.ndarray, "n h w c"],
    *,
    kind: Kind,
    weights: Float[Array | np.ndarray, "n h w 1"] | None = None,
) -> Float[Array, ""]:
    """Return the generator's loss: low if the logits of its images are high.

    It is the mean over the logits f of::

        vanilla        -log sigmoid(f)
        least_squares  (f - 1)^2
        wasserstein    -f
        hinge          -f

    Args:
      fake_logits: Logits of images from the generator.
      kind: Loss to compute, as for `discriminator_loss`.
      weights: Weights of the mean, as for `discriminator_loss` (default: equal
        weights).

    Returns:
      The loss in float32 or, if the logits have more precision, in theirs. It is zero
      if all weights are.

    Raises:
      RefusedError: `kind` is unknown, or `weights` cannot be broadcast to the logits.
    """
    loss = _loss(_GENERATOR, kind)
    return _weighted_mean(loss(_wide(fake_logits), real=True), weights)


@no_type_check
def patch_weights(
    mask: Float[Array | np.ndarray, "n h w 1"], *, size: Sequence[int]
) -> Float[Array, "n oh ow 1"]:
    """Return the fraction of hole in the cell of pixels of each logit.

    It is the mask resized by area averaging: row i of the logits covers the pixel rows
    from i H / oh to (i + 1) H / oh, those at the ends in part.

    Args:
      mask: 1 in the hole, 0 elsewhere.
      size: (height, width) of the logits, larger than the mask or smaller.

    Returns:
      Fractions in [0, 1], in float32 or, if the mask has more precision, in its dtype.

    Raises:
      RefusedError: `mask` is not of rank 4, or `size` is not positive.
    """
    if mask.ndim != 4:
        raise RefusedError(f"`mask` must have rank 4, got shape {mask.shape}.")
    if min(size) < 1:
        raise RefusedError(f"`size` must be positive, got {tuple(size)}.")
    mask = _wide(mask)
    rows, columns = (
        jnp.asarray(_area_averages(n, cells), mask.dtype)
        for n, cells in zip(mask.shape[1:3], size, strict=True)
    )
    return jnp.einsum("nhwc,ah,bw->nabc", mask, rows, columns, precision="highest")


def _area_averages(pixels: int, cells: int) -> np.ndarray:
    """Return the weight of each pixel in the mean of each cell: (cells, pixels)."""
    edges = np.arange(cells + 1) * pixels / cells
    left, right = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    overlap = np.minimum(right, pixel + 1) - np.maximum(left, pixel)
    return np.maximum(overlap, 0) * cells / pixels


def _vanilla(logits: Array, *, real: bool) -> Array:
    labels = jnp.full_like(logits, real)
    return jnp.asarray(optax.sigmoid_binary_cross_entropy(logits, labels))


def _least_squares(logits: Array, *, real: bool) -> Array:
    return jnp.asarray(optax.squared_error(logits, jnp.full_like(logits, real)))


def _wasserstein(logits: Array, *, real: bool) -> Array:
    return -logits if real else logits


def _hinge(logits: Array, *, real: bool) -> Array:
    labels = jnp.full_like(logits, 1 if real else -1)
    return jnp.asarray(optax.hinge_loss(logits, labels))


_DISCRIMINATOR = {
    "vanilla": _vanilla,
    "least_squares": _least_squares,
    "wasserstein": _wasserstein,
    "hinge": _hinge,
}
# The hinge loss of a generator has no margin.
_GENERATOR = {**_DISCRIMINATOR, "hinge": _wasserstein}


def _loss(losses: dict[str, Callable[..., Array]], kind: str) -> Callable[..., Array]:
    if kind not in losses:
        names = ", ".join(map(repr, get_args(Kind)))
        raise RefusedError(f"`kind` must be one of {names}, got {kind!r}.")
    return losses[kind]


def _wide(x: jax.typing.ArrayLike) -> Array:
    x = jnp.asarray(x)
    return x.astype(wide_dtype(x.dtype))


@no_type_check
def _weighted_mean(
    values: Float[Array, "n h w c"],
    weights: Float[Array | np.ndarray, "n h w 1"] | None,
) -> Float[Array, ""]:
    if weights is None:
        return values.mean()
    shape = np.shape(weights)
    if not _broadcasts(shape, values.shape):
        raise RefusedError(
            f"`weights` must be broadcast to the logits' shape {values.shape}, "
            f"got {shape}."
        )
    weights = jnp.broadcast_to(jnp.asarray(weights, values.dtype), values.shape)
    total = weights.sum()
    return (weights * values).sum() / jnp.where(total > 0, total, 1)


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False
