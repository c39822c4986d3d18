"""Reassembly and its two gradients in plain JAX: the fallback of every platform.

The three are the partial derivatives of T(features, kernels, g) = sum of
g * kernels * features over every output pixel, window tap and channel. Like those of a
backend, the functions take normalised kernels by output pixel or, with a normalizer,
logits by anchor.

All loop over blocks of anchor rows. On a CPU, a block then fits in cache. More
important, temporaries stay small: page faults on fresh memory would cost as much as the
arithmetic.
"""

import functools

from carafe_pallas.call import Normalizer
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, DTypeLike, Float

from carafe_jax.ops.dtypes import wide_dtype
from carafe_jax.ops.reassembly import sums
from carafe_jax.ops.reassembly.blocks import over_blocks, row_bytes
from carafe_jax.ops.reassembly.normalization import normalize, pull_back
from carafe_jax.ops.sharding import varying_axes


def reassemble(
    features: Float[Array, "n h w c"],
    kernels: Array,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow c"]:
    """Return the sum of each window of the features, weighted by its kernel."""
    rows, columns = geometry.rows, geometry.columns
    n, _, _, c = features.shape
    kernels = _by_pixel(kernels, geometry, normalizer)
    return over_blocks(
        functools.partial(
            sums.output_block, features, kernels, geometry=geometry, dtype=dtype
        ),
        anchors=rows.anchors,
        # Up-sampling writes more than it reads, and one block writes it only once.
        anchor_bytes=row_bytes(features) * rows.down if rows.down > 1 else 0,
        rows_per_anchor=rows.up,
        shape=(n, rows.output_size, columns.output_size, c),
        dtype=dtype,
        varying=varying_axes(features, kernels),
    )


def grad_features(
    kernels: Array,
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
) -> Float[Array, "n h w c"]:
    """Return the gradient of the features, gathered from the windows over a pixel."""
    rows, columns = geometry.rows, geometry.columns
    n, _, _, c = cotangent.shape
    kernels = _by_pixel(kernels, geometry, normalizer)
    return over_blocks(
        functools.partial(
            sums.source_block, kernels, cotangent, geometry=geometry, dtype=dtype
        ),
        anchors=rows.anchors,
        anchor_bytes=row_bytes(cotangent) * rows.up,
        rows_per_anchor=rows.down,
        shape=(n, rows.size, columns.size, c),
        dtype=dtype,
        varying=varying_axes(kernels, cotangent),
    )


def grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    logits: Array | None = None,
    *,
    geometry: Geometry,
    normalizer: Normalizer | None,
    dtype: DTypeLike,
) -> Array:
    """Return the gradient of the kernels: dot products over the channels.

    With a normalizer, it takes the `logits` as well, and returns their gradient.
    """
    if normalizer is None or logits is None:
        return _grad_kernels(features, cotangent, geometry=geometry, dtype=dtype)
    gradient = _grad_kernels(
        features, cotangent, geometry=geometry, dtype=wide_dtype(dtype)
    )
    gradient = pull_back(gradient, logits, geometry=geometry, normalizer=normalizer)
    return gradient.astype(dtype)


def _grad_kernels(
    features: Float[Array, "n h w c"],
    cotangent: Float[Array, "n oh ow c"],
    *,
    geometry: Geometry,
    dtype: DTypeLike,
) -> Float[Array, "n oh ow g taps"]:
    rows, columns = geometry.rows, geometry.columns
    inner = (geometry.groups, geometry.taps)
    return over_blocks(
        functools.partial(
            sums.kernels_block, features, cotangent, geometry=geometry, dtype=dtype
        ),
        anchors=rows.anchors,
        anchor_bytes=row_bytes(features) * rows.down + row_bytes(cotangent) * rows.up,
        rows_per_anchor=rows.up,
        shape=(features.shape[0], rows.output_size, columns.output_size, *inner),
        dtype=dtype,
        varying=varying_axes(features, cotangent),
    )


def _by_pixel(
    kernels: Array, geometry: Geometry, normalizer: Normalizer | None
) -> Float[Array, "n oh ow g taps"]:
    if normalizer is None:
        return kernels
    return normalize(kernels, geometry=geometry, normalizer=normalizer)
