"""Normalisation of logits by anchor to kernels by output pixel, and its VJP.

The channel of a logit is ((py * u + px) * G + g) * k*k + tap. Channels may be split
into several trailing axes.
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
    """Normalise over the taps in at least float32; round once, to the logits' dtype."""
    kernels = normalizers.normalize(_taps_last(logits, geometry), normalizer)
    # Not -1, which cannot be inferred for an empty batch.
    channels = kernels.shape[3] * kernels.shape[4]
    kernels = kernels.reshape(*logits.shape[:3], channels).astype(logits.dtype)
    return to_pixels(kernels, geometry)


def pull_back(
    gradient: Float[Array, "n oh ow g taps"],
    logits: Float[Array, "n ah aw *channels"],
    *,
    geometry: Geometry,
    normalizer: Normalizer,
) -> Float[Array, "n ah aw *channels"]:
    """Convert the gradient of the kernels by pixel to that of the logits by anchor.

    It has the accumulation dtype: the caller rounds it.
    """
    gradient = _taps_last(to_anchors(gradient, geometry), geometry)
    logits_last = _taps_last(logits, geometry)
    gradient = normalizers.pull_back(gradient, logits_last, normalizer)
    return gradient.reshape(logits.shape)


def _taps_last(
    x: Float[Array, "n ah aw *channels"], geometry: Geometry
) -> Float[Array, "n ah aw pixels taps"]:
    """Return `x` with the taps of each kernel as the last axis, in at least float32."""
    shape = (*x.shape[:3], geometry.phases * geometry.groups, geometry.taps)
    return x.reshape(shape).astype(wide_dtype(x.dtype))
