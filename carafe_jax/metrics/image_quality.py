"""L1, PSNR and SSIM of inpainted images, for each image and in its hole."""

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
    """Peak signal-to-noise ratio in dB; infinite where nothing differs."""
    ssim: Float[Array, "b"]
    """Structural similarity, at most 1."""


class InpaintingQuality(NamedTuple):
    """Quality of each composed image: all its pixels, and those of the hole alone."""

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

    Outside the hole the target is put in the place of the prediction first: what is
    measured is the composed image (1 - m) x + m y. For each image,

        L1   = 100 mean |y - x|
        PSNR = -10 log10 mean (y - x)^2
        SSIM = mean of `ssim_map(y, x)`

    with means over all pixels and channels (`whole`) or over those of the hole
    (`hole`). The mean over a test set is the mean of these numbers. Computed in
    float32 or, where the images have more precision, in theirs.

    Args:
        predictions: What the network made of the images, in [0, 1].
        targets: Originals, in [0, 1].
        masks: 1 in the hole, 0 elsewhere. An image without a hole has NaN for each
            number of its hole.

    Returns:
        Three numbers for each image, on the whole and in the hole.

    Raises:
        RefusedError: If the shapes of the arguments do not belong together.
    """
    _check_shapes(predictions.shape, targets.shape, masks.shape)
    images, originals = jnp.asarray(predictions), jnp.asarray(targets)
    dtype = wide_dtype(images.dtype, originals.dtype)
    images, originals = images.astype(dtype), originals.astype(dtype)
    with jax.debug_nans(False):  # NaN is the result without a hole.
        return _quality(images, originals, jnp.asarray(masks) > 0)


def ssim_map(
    images: Float[Array | np.ndarray, "b h w c"],
    targets: Float[Array | np.ndarray, "b h w c"],
) -> Float[Array, "b h w"]:
    """Compare images window by window, with a value at every pixel.

    Structural similarity after Wang et al. 2004: Gaussian window of 11 x 11 pixels
    with a standard deviation of 1.5, K1 = 0.01, K2 = 0.03, data range 1, mean over
    channels. Windows that reach past the border see the image mirrored there, with
    its outermost pixels repeated; so the map has the size of the images.

    Args:
        images: In [0, 1].
        targets: In [0, 1].

    Returns:
        Structural similarity of the window round each pixel, at most 1, in float32 or,
        where the images have more precision, in theirs.
    """
    images, targets = jnp.asarray(images), jnp.asarray(targets)
    dtype = wide_dtype(images.dtype, targets.dtype)
    # In two, as the type of a function is lost in `jax.jit`.
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
    """Map images from [-1, 1] to [0, 1], and clip what lies outside."""
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
    share = holes.mean((1, 2), dtype=targets.dtype)
    # Composed images err in the hole only, so its sums are those of the whole image.
    hole = ImageQuality(
        l1=whole.l1 / share,
        psnr=whole.psnr + 10 * jnp.log10(share),
        ssim=jnp.where(holes, similarity, 0).mean((1, 2)) / share,
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
        raise RefusedError(f"`targets` must have 4 dimensions, got shape {targets}.")
    if predictions != targets:
        raise RefusedError(
            f"`predictions` must have the shape of `targets`, {targets}, "
            f"got {predictions}."
        )
    expected = (*targets[:3], 1)
    if masks != expected:
        raise RefusedError(f"`masks` must have shape {expected}, got {masks}.")
