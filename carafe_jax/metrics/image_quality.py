"""L1, PSNR and SSIM of each inpainted image, over all pixels and over its hole."""

import functools
import math
import operator
from typing import NamedTuple

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Num

from carafe_jax.arguments import check
from carafe_jax.errors import RefusedError, no_type_check
from carafe_jax.ops import wide_dtype

# The window of Wang et al. 2004 is 11 pixels wide.
_SSIM_RADIUS = 5
_SSIM_SIGMA = 1.5


class ImageQuality(NamedTuple):
    """Similarity of each image of a batch to its target."""

    l1: Float[Array, "b"]
    """Mean absolute difference of images in [0, 1], times 100; lower is better."""
    psnr: Float[Array, "b"]
    """Peak signal-to-noise ratio in dB; infinite for equal images."""
    ssim: Float[Array, "b"]
    """Structural similarity, at most 1."""


class InpaintingQuality(NamedTuple):
    """Quality of each composed image, over all pixels and over the hole alone."""

    whole: ImageQuality
    hole: ImageQuality


@no_type_check
def inpainting_quality(
    predictions: Float[Array | np.ndarray, "b h w c"],
    targets: Float[Array | np.ndarray, "b h w c"],
    *,
    masks: Num[Array | np.ndarray, "b h w 1"] | Bool[Array | np.ndarray, "b h w 1"],
) -> InpaintingQuality:
    """Compare inpainted images with the originals.

    Metrics are of the composed image (1 - m) x + m y, which has the target's pixels
    outside the hole. For each image::

        L1   = 100 mean |y - x|
        PSNR = -10 log10 mean (y - x)^2
        SSIM = mean of `ssim_map(y, x)`

    Means are over all pixels and channels (`whole`) or over those of the hole
    (`hole`). Results for a test set are means over its images. Computed in float32 or,
    if the images have more precision, in theirs.

    Args:
        predictions: Predictions of the network, in [0, 1].
        targets: Originals, in [0, 1].
        masks: 1 in the hole, 0 elsewhere. For an image without a hole, the metrics of
            the hole are NaN.

    Returns:
        The three metrics of each image, on the whole and in the hole.

    Raises:
        RefusedError: The shapes do not match.
    """
    _check_shapes(predictions.shape, targets.shape, masks.shape)
    images, originals = jnp.asarray(predictions), jnp.asarray(targets)
    dtype = wide_dtype(images.dtype, originals.dtype)
    images, originals = images.astype(dtype), originals.astype(dtype)
    with jax.debug_nans(False):  # NaN is the result without a hole.
        return _quality(images, originals, jnp.asarray(masks) > 0)


@no_type_check
def ssim_map(
    images: Float[Array | np.ndarray, "b h w c"],
    targets: Float[Array | np.ndarray, "b h w c"],
) -> Float[Array, "b h w"]:
    """Return the structural similarity of images at every pixel.

    It follows Wang et al. 2004: Gaussian window of 11 x 11 pixels with a standard
    deviation of 1.5, K1 = 0.01, K2 = 0.03, data range 1, mean over channels. The image
    is padded by reflection with its outermost pixels repeated, so that the map has the
    size of the images.

    Args:
        images: Images in [0, 1].
        targets: Images in [0, 1].

    Returns:
        Structural similarity of the window around each pixel, at most 1, in float32 or,
        if the images have more precision, in theirs.

    Raises:
        RefusedError: The shapes do not match.
    """
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    rule = f"have the shape of `targets`, {targets.shape}"
    check("images", images.shape, rule, holds=images.shape == targets.shape)
    dtype = wide_dtype(images.dtype, targets.dtype)
    # A separate function, as `jax.jit` loses the type of the function it wraps.
    return jnp.asarray(_ssim_map(images.astype(dtype), targets.astype(dtype)))


@jax.jit
def _ssim_map(
    images: Float[Array | np.ndarray, "b h w c"],
    targets: Float[Array | np.ndarray, "b h w c"],
) -> Float[Array, "b h w"]:
    pad = ((0, 0), (_SSIM_RADIUS,) * 2, (_SSIM_RADIUS,) * 2, (0, 0))
    images, targets = (jnp.pad(x, pad, mode="symmetric") for x in (images, targets))
    similarity = dm_pix.ssim(
        images, targets, filter_fn=_gaussian_window, return_map=True
    )
    return jnp.asarray(similarity).mean(-1)


def to_unit_range(
    images: Float[Array | np.ndarray, "*b h w c"],
) -> Float[Array, "*b h w c"]:
    """Map images from [-1, 1] to [0, 1], and clip values outside."""
    return jnp.clip((images + 1) / 2, 0, 1)


@jax.jit
def _quality(
    predictions: Float[Array, "b h w c"],
    targets: Float[Array, "b h w c"],
    masks: Bool[Array, "b h w 1"],
) -> InpaintingQuality:
    composed = jnp.where(masks, predictions, targets)
    similarity = ssim_map(composed, targets)
    whole = ImageQuality(
        l1=100 * jnp.asarray(dm_pix.mae(composed, targets)),
        psnr=jnp.asarray(dm_pix.psnr(composed, targets)),
        ssim=similarity.mean((1, 2)),
    )
    holes = masks[..., 0]
    fraction = holes.mean((1, 2), dtype=targets.dtype)
    # A composed image differs in the hole only: both sums of differences are equal.
    hole = ImageQuality(
        l1=whole.l1 / fraction,
        psnr=whole.psnr + 10 * jnp.log10(fraction),
        ssim=jnp.where(holes, similarity, 0).mean((1, 2)) / fraction,
    )
    return InpaintingQuality(whole=whole, hole=hole)


def _gaussian_window(images: ArrayLike) -> jax.Array:
    # XLA fuses shifted sums; the convolutions that dm-pix uses by default are several
    # times slower on a CPU.
    averages = jnp.asarray(images)
    offsets = range(-_SSIM_RADIUS, _SSIM_RADIUS + 1)
    weights = [math.exp(-0.5 * (offset / _SSIM_SIGMA) ** 2) for offset in offsets]
    for axis in (1, 2):
        size = averages.shape[axis] - 2 * _SSIM_RADIUS
        shifted = (
            weight * jax.lax.slice_in_dim(averages, start, start + size, axis=axis)
            for start, weight in enumerate(weights)
        )
        averages = functools.reduce(operator.add, shifted) / sum(weights)
    return averages


def _check_shapes(
    predictions: tuple[int, ...], targets: tuple[int, ...], masks: tuple[int, ...]
) -> None:
    if len(targets) != 4:
        raise RefusedError(f"`targets` must have rank 4, got shape {targets}.")
    if predictions != targets:
        raise RefusedError(
            f"`predictions` must have the shape of `targets`, {targets}, "
            f"got {predictions}."
        )
    expected = (*targets[:3], 1)
    if masks != expected:
        raise RefusedError(f"`masks` must have shape {expected}, got {masks}.")
