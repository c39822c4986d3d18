"""Label maps of photographs at their own sizes, from the logits of networks."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

_STRIP = 32  # Rows whose scores are in memory at once.


def label_maps(
    logits: Float[Array, "n oh ow k"],
    sizes: Int[Array, "n 2"],
    *,
    shape: tuple[int, int],
    align_corners: bool = False,
) -> UInt8[Array, "n h w"]:
    """Return the class of each pixel, the largest of the resized logits.

    The logits of each image are resized to its own size by `nn.resize_bilinear`, so
    that images of several sizes share a program. Scores of all classes are in memory
    for 32 rows at a time.

    Args:
      logits: Logits of resized images.
      sizes: Height and width of the photographs.
      shape: Height and width of the result, at least those of the photographs.
      align_corners: As in `nn.resize_bilinear`.

    Returns:
      Label maps with 0 outside the photographs.
    """
    weights = partial(_weights, align_corners=align_corners)
    height, width = shape
    padded = -(-height // _STRIP) * _STRIP
    rows = jax.vmap(partial(weights, logits.shape[1], padded))(sizes[:, 0])
    columns = jax.vmap(partial(weights, logits.shape[2], width))(sizes[:, 1])
    precision = jax.lax.Precision.HIGHEST
    wide = jnp.einsum("nwx,nyxk->nywk", columns, logits, precision=precision)

    def strip(rows: Float[Array, "n s oh"]) -> UInt8[Array, "n s w"]:
        scores = jnp.einsum("nsy,nywk->nswk", rows, wide, precision=precision)
        return scores.argmax(-1).astype(jnp.uint8)

    strips = rows.reshape(len(rows), -1, _STRIP, rows.shape[-1]).swapaxes(0, 1)
    lax: Any = jax.lax  # The type of `map` is partly unknown.
    labels: Array = lax.map(strip, strips).swapaxes(0, 1)
    return labels.reshape(len(rows), padded, width)[:, :height]


def _weights(
    length: int, resized: int, size: Int[Array, ""], *, align_corners: bool
) -> Float[Array, "resized length"]:
    """Return the weights of a map's rows in those of a photograph, 0 beyond them."""
    places = jnp.arange(resized, dtype=jnp.float32)
    size = size.astype(jnp.float32)
    if align_corners:
        sources = places * ((length - 1) / jnp.maximum(size - 1, 1))
    else:
        sources = (places + 0.5) * (length / size) - 0.5
    sources = jnp.clip(sources, 0, length - 1)
    targets = jnp.arange(length, dtype=jnp.float32)
    distances = jnp.abs(sources[:, None] - targets[None])
    weights = jnp.maximum(0, 1 - distances)
    return jnp.where(places[:, None] < size, weights, 0)
