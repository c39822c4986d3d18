"""Label maps of photographs at their own sizes, from the logits of networks."""

import operator
from collections.abc import Sequence
from functools import partial, reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

_STRIP = 32  # Rows whose scores are in memory at once.


def label_maps(
    views: Sequence[Float[Array, "n _ _ k"]],
    sizes: Int[Array, "n 2"],
    *,
    shape: tuple[int, int],
    align_corners: bool = False,
    scores: Literal["logits", "probabilities"] = "logits",
) -> UInt8[Array, "n h w"]:
    """Return the most probable class of each pixel, over all views of an image.

    The scores of each view are resized to the image's own size by `nn.resize_bilinear`,
    so that images of several sizes share a program. The probabilities of several views,
    the softmax of their resized logits, are averaged. Scores of all classes are in
    memory for 32 rows at a time.

    Args:
      views: Scores of the classes in each view of resized images, at any stride.
      sizes: Height and width of the photographs.
      shape: Height and width of the result, at least those of the photographs.
      align_corners: As in `nn.resize_bilinear`.
      scores: Kind of the scores. "probabilities": they are averaged without a softmax.

    Returns:
      Label maps with 0 outside the photographs.
    """
    height, width = shape
    padded = -(-height // _STRIP) * _STRIP
    weights = partial(_weights, align_corners=align_corners)
    precision = jax.lax.Precision.HIGHEST

    def widened(view: Float[Array, "n oh ow k"]) -> Float[Array, "n oh w k"]:
        columns = jax.vmap(partial(weights, view.shape[2], width))(sizes[:, 1])
        return jnp.einsum("nwx,nyxk->nywk", columns, view, precision=precision)

    def strips(view: Float[Array, "n oh ow k"]) -> Float[Array, "t n s oh"]:
        rows = jax.vmap(partial(weights, view.shape[1], padded))(sizes[:, 0])
        return rows.reshape(len(rows), -1, _STRIP, rows.shape[-1]).swapaxes(0, 1)

    wide = [widened(each) for each in views]

    def strip(rows: Sequence[Float[Array, "n s _"]]) -> UInt8[Array, "n s w"]:
        resized = [
            jnp.einsum("nsy,nywk->nswk", own, each, precision=precision)
            for own, each in zip(rows, wide, strict=True)
        ]
        if len(resized) > 1 and scores == "logits":
            resized = [jax.nn.softmax(each) for each in resized]
        total: Array = reduce(operator.add, resized)
        return total.argmax(-1).astype(jnp.uint8)

    lax: Any = jax.lax  # The type of `map` is partly unknown.
    labels: Array = lax.map(strip, [strips(each) for each in views]).swapaxes(0, 1)
    return labels.reshape(len(sizes), padded, width)[:, :height]


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
