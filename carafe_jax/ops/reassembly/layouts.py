"""Conversion of kernels between the layouts by anchor and by output pixel."""

import jax.numpy as jnp
from carafe_pallas.geometry import Geometry
from jaxtyping import Array, Float


def to_pixels(
    kernels: Float[Array, "n ah aw channels"], geometry: Geometry
) -> Float[Array, "n oh ow g taps"]:
    """Shuffle the phases of each anchor to its output pixels.

    The channel of a tap is ((py * u + px) * G + g) * k*k + tap. Phases past the last
    output pixel are cropped.
    """
    rows, columns = geometry.rows, geometry.columns
    n, ah, aw, _ = kernels.shape
    inner = (geometry.groups, geometry.taps)
    kernels = kernels.reshape(n, ah, aw, rows.up, columns.up, *inner)
    kernels = kernels.swapaxes(2, 3).reshape(n, ah * rows.up, aw * columns.up, *inner)
    return kernels[:, : rows.output_size, : columns.output_size]


def to_anchors(
    kernels: Float[Array, "n oh ow g taps"], geometry: Geometry
) -> Float[Array, "n ah aw channels"]:
    """Collect the phases of each anchor; those past the last output pixel are zero."""
    rows, columns = geometry.rows, geometry.columns
    n, oh, ow, *inner = kernels.shape
    below, right = rows.anchors * rows.up - oh, columns.anchors * columns.up - ow
    kernels = jnp.pad(kernels, ((0, 0), (0, below), (0, right), (0, 0), (0, 0)))
    kernels = kernels.reshape(
        n, rows.anchors, rows.up, columns.anchors, columns.up, *inner
    )
    shape = (n, rows.anchors, columns.anchors, geometry.anchor_channels)
    return kernels.swapaxes(2, 3).reshape(shape)
