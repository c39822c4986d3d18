"""Proposals: the boxes of the RPN that the heads classify."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from carafe_jax.models.detection.rpn import RPNOutputs
from carafe_jax.models.detection.settings import ProposalSettings
from carafe_jax.ops.box_coder import decode_boxes
from carafe_jax.ops.boxes import Boxes, clip_boxes
from carafe_jax.ops.nms import nms
from carafe_jax.ops.sharding import run_per_device


class Proposals(NamedTuple):
    """Boxes that may hold an object, by descending score."""

    boxes: Boxes
    """(n, r) boxes in pixels of the images."""
    scores: Float[Array, "n r"]
    """Probabilities that the boxes hold an object; 0 for padding."""


class _Candidates(NamedTuple):
    """Boxes that enter the suppression within a map."""

    coordinates: Float[Array, "m 4"]
    valid: Bool[Array, "m"]
    scores: Float[Array, "m"]


def propose(
    outputs: Sequence[RPNOutputs],
    image_sizes: Float[Array, "n 2"],
    *,
    anchors: Sequence[Float[Array, "_ 4"]],
    settings: ProposalSettings,
) -> Proposals:
    """Return the proposals of a batch.

    In each map: the best `candidates` anchors by sigmoid(logit), decoded, clipped to
    the image, without those that are empty, and non-maximum suppression among them. Of
    all maps, the best `count` (Ren et al. 2015, with FPN, arXiv:1612.03144, section
    4.1). No gradient flows through proposals.

    Args:
      outputs: Of the RPN, for each map.
      image_sizes: (height, width) of each image without its padding, in pixels.
      anchors: Of each map, in pixels.
      settings: Numbers of boxes, and the threshold.
    """
    outputs, image_sizes = jax.lax.stop_gradient((tuple(outputs), image_sizes))
    one = functools.partial(_propose_for_image, settings=settings)
    every = jax.vmap(one, in_axes=(0, 0, None))
    return run_per_device(every, outputs, image_sizes, shared=[tuple(anchors)])


def _propose_for_image(
    outputs: Sequence[RPNOutputs],
    image_size: Float[Array, "2"],
    anchors: Sequence[Array],
    *,
    settings: ProposalSettings,
) -> Proposals:
    levels = [
        _candidates(level, grid, image_size, settings.candidates)
        for level, grid in zip(outputs, anchors, strict=True)
    ]
    stacked: _Candidates = jax.tree.map(lambda *x: jnp.stack(x), *levels)
    suppress = functools.partial(
        nms, iou_threshold=settings.iou_threshold, max_outputs=settings.candidates
    )
    kept = jax.vmap(suppress)(Boxes(stacked.coordinates, stacked.valid), stacked.scores)
    coordinates = jnp.take_along_axis(
        stacked.coordinates, kept.indices[..., None], axis=1
    ).reshape(-1, 4)
    scores = jnp.take_along_axis(stacked.scores, kept.indices, axis=1).reshape(-1)
    ranked = jnp.where(kept.valid.reshape(-1), scores, -jnp.inf)
    best, index = jax.lax.top_k(ranked, min(settings.count, ranked.size))
    missing = settings.count - best.size
    best = jnp.pad(best, (0, missing), constant_values=-jnp.inf)
    valid = best > -jnp.inf
    chosen = jnp.pad(coordinates[index], ((0, missing), (0, 0)))
    return Proposals(
        Boxes(jnp.where(valid[:, None], chosen, 0), valid), jnp.where(valid, best, 0)
    )


def _candidates(
    outputs: RPNOutputs, anchors: Array, image_size: Array, count: int
) -> _Candidates:
    """Return the best anchors of one map, decoded; padded to `count`."""
    scores = jax.nn.sigmoid(outputs.logits)
    kept = min(count, scores.size)
    best, index = jax.lax.top_k(scores, kept)
    decoded = decode_boxes(outputs.deltas[index], anchors[index].astype(scores.dtype))
    boxes = clip_boxes(decoded, image_size)
    valid = (boxes[:, 2:] > boxes[:, :2]).all(-1)
    padding = (0, count - kept)
    return _Candidates(
        jnp.pad(boxes, (padding, (0, 0))),
        jnp.pad(valid, padding),
        jnp.pad(best, padding),
    )
