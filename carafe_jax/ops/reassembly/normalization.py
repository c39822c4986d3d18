"""Normalisation of logits, by anchor, to kernels by output pixel, and its gradient.

The channel of a logit is ((py * u + px) * G + g) * k*k + tap; trailing axes may split
the channels further.
"""

from carafe_pallas import normalizers
from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, Float

from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.reassembly.layouts import to_anchors, to_pixels


def normalize(
    logits: Float[Array, "n ah aw *channels"],
    *,
    geometry: Geometry,
    normalizer: Normalizer,
) -> Float[Array, "n oh ow g taps"]:
    """Normalise logits over their taps, in float32 at least; round once."""
    kernels = normalizers.normalize(_taps_last(logits, geometry), normalizer)
    channels = kernels.shape[3] * kernels.shape[4]  # -1 fails on empty batches.
    kernels = kernels.reshape(*logits.shape[:3], channels).astype(logits.dtype)
    return to_pixels(kernels, geometry)


def pull_back(
    gradient: Float[Array, "n oh ow g taps"],
    logits: Float[Array, "n ah aw *channels"],
    *,
    geometry: Geometry,
    normalizer: Normalizer,
) -> Float[Array, "n ah aw *channels"]:
    """Turn the gradient of kernels by pixel into that of their logits, by anchor.

    It is of the dtype of the sums, not rounded yet.
    """
    gradient = _taps_last(to_anchors(gradient, geometry), geometry)
    logits_last = _taps_last(logits, geometry)
    gradient = normalizers.pull_back(gradient, logits_last, normalizer)
    return gradient.reshape(logits.shape)


def _taps_last(
    x: Float[Array, "n ah aw *channels"], geometry: Geometry
) -> Float[Array, "n ah aw pixels taps"]:
    """Return each kernel along the last axis, in float32 at least."""
    shape = (*x.shape[:3], geometry.phases * geometry.groups, geometry.taps)
    return x.reshape(shape).astype(wide_dtype(x.dtype))
